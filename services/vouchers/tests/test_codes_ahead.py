"""Codes are made ahead of the sale, in parts; sales never wait for making, and a shortage fails no order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    order_pb2,
    order_pb2_grpc,
    shop_pb2,
    shop_pb2_grpc,
)

from services.common.channels import open_channel
from services.common.db import execute, fetch_value
from services.common.ids import new_id
from services.common.server import RunningService
from services.vouchers.orders.tests.test_orders import balance, check_invariants
from services.vouchers.parts import build
from services.vouchers.server import compose
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import InProcess, Member, Platform, bearer, eventually

AHEAD = 10
COMPLETED, PENDING = order_pb2.ORDER_STATE_COMPLETED, order_pb2.ORDER_STATE_PENDING
Codes = catalogue_pb2.VoucherCodes


@dataclass
class Shop:
    """A process of vouchers that has few codes made ahead, and whose orders are not waited for long."""

    platform: Platform
    channel: grpc.aio.Channel
    staff: list[tuple[str, str]]

    @property
    def catalogue(self) -> catalogue_pb2_grpc.CatalogueServiceStub:
        return catalogue_pb2_grpc.CatalogueServiceStub(self.channel)

    @property
    def orders(self) -> order_pb2_grpc.OrderServiceStub:
        return order_pb2_grpc.OrderServiceStub(self.channel)

    async def create(self, quantity: int, *, draft: bool = False) -> catalogue_pb2.Voucher:
        request = catalogue_pb2.CreateVoucherRequest(
            title="$5 off",
            face_value=money_pb2.Money(currency_code="USD", amount_minor=500),
            price_points=1,
            quantity=quantity,
            draft=draft,
        )
        return (await self.catalogue.CreateVoucher(request, metadata=self.staff)).voucher

    async def get(self, voucher_id: str) -> catalogue_pb2.Voucher:
        request = catalogue_pb2.GetVoucherRequest(voucher_id=voucher_id)
        return (await self.catalogue.GetVoucher(request, metadata=self.staff)).voucher

    async def raise_to(self, voucher_id: str, quantity: int) -> Codes:
        request = catalogue_pb2.UpdateVoucherRequest(voucher_id=voucher_id, quantity=quantity)
        return (await self.catalogue.UpdateVoucher(request, metadata=self.staff)).voucher.codes

    async def publish(self, voucher_id: str) -> Codes:
        request = catalogue_pb2.PublishVoucherRequest(voucher_id=voucher_id)
        return (await self.catalogue.PublishVoucher(request, metadata=self.staff)).voucher.codes

    async def order(self, member: Member, voucher_id: str, quantity: int = 1) -> order_pb2.Order:
        request = order_pb2.PlaceOrderRequest(voucher_id=voucher_id, quantity=quantity)
        metadata = bearer(member.token, idempotency_key=str(new_id()))
        return (await self.orders.PlaceOrder(request, metadata=metadata)).order

    async def my_order(self, member: Member, order_id: str) -> order_pb2.Order:
        request = order_pb2.GetMyOrderRequest(order_id=order_id)
        return (await self.orders.GetMyOrder(request, metadata=bearer(member.token))).order

    async def until(self, voucher_id: str, *, wanted: int, ready: int) -> None:
        """Waits until staff see that all codes are made, so many."""
        expected = Codes(wanted=wanted, made=wanted, ready=ready, making=False)

        async def check() -> None:
            assert (await self.get(voucher_id)).codes == expected

        await eventually(check, seconds=30)

    async def until_completed(self, member: Member, order_id: str) -> order_pb2.Order:
        async def check() -> order_pb2.Order:
            order = await self.my_order(member, order_id)
            assert order.state == COMPLETED
            return order

        return await eventually(check, seconds=30)

    async def codes(self, voucher_id: str, state: str | None = None) -> int:
        """Returns how many codes promos has, or those in a state."""
        query = (
            "SELECT count(*) FROM codes WHERE code_set_id = %(id)s"
            " AND (%(state)s::text IS NULL OR state = %(state)s)"
        )
        return int(
            await self.platform.databases["promos"].read(fetch_value, query, id=voucher_id, state=state)
        )


@pytest.fixture
async def shop(platform: Platform) -> AsyncIterator[Shop]:
    own = platform.settings["vouchers"].model_copy(
        update={"listen": "127.0.0.1:0", "codes_ahead": AHEAD, "order_wait_seconds": 0.5}
    )
    async with compose(own) as service:
        running = RunningService(service, own)
        channel = open_channel(f"ipv4:127.0.0.1:{await running.start()}")
        try:
            yield Shop(platform, channel, bearer(await platform.admin()))
        finally:
            await channel.close()
            await running.stop()


@asynccontextmanager
async def stopped(in_process: InProcess, service: str) -> AsyncIterator[None]:
    """The worker of a service does nothing meanwhile."""
    await in_process.stop_worker(service)
    try:
        yield
    finally:
        in_process.start_worker(service)


async def rich(platform: Platform, earn: Earn, points: int = 100) -> Member:
    member = await platform.member()
    await earn(member, points)
    return member


@pytest.mark.covers("V6 CatalogueService.CreateVoucher", "V6 CatalogueService.GetVoucher")
async def test_a_large_voucher_is_on_sale_at_once_and_has_only_the_first_part_of_its_codes_made(
    platform: Platform, create: Create, earn: Earn, order: Order, shop: Shop
) -> None:
    member, voucher = await rich(platform, earn, 500), await create(quantity=1_000_000)
    assert voucher.codes == Codes(wanted=20_000, made=0, ready=0, making=True)
    placed = (await order(member, voucher.id)).order
    await shop.until_completed(member, placed.id)
    await shop.until(voucher.id, wanted=20_000, ready=19_999)
    assert await shop.codes(voucher.id) == 20_000


@pytest.mark.covers("V6 OrderService.PlaceOrder")
async def test_more_codes_are_made_when_fewer_than_half_are_left_up_to_what_can_be_sold(
    platform: Platform, earn: Earn, shop: Shop
) -> None:
    member, voucher = await rich(platform, earn), await shop.create(24)
    await shop.until(voucher.id, wanted=AHEAD, ready=AHEAD)
    await shop.order(member, voucher.id, 5)
    await shop.until(voucher.id, wanted=AHEAD, ready=5)
    await shop.order(member, voucher.id, 1)
    await shop.until(voucher.id, wanted=6 + AHEAD, ready=AHEAD)
    last = await shop.order(member, voucher.id, 18)
    await shop.until_completed(member, last.id)
    await shop.until(voucher.id, wanted=24, ready=0)
    assert await shop.codes(voucher.id) == await shop.codes(voucher.id, "ASSIGNED") == 24
    assert await balance(platform, member) == 100 - 24
    await check_invariants(platform)


@pytest.mark.covers("V6 OrderService.GetMyOrder")
async def test_orders_without_codes_wait_in_the_open_and_complete_when_there_are_some(
    platform: Platform, in_process: InProcess, earn: Earn, shop: Shop
) -> None:
    members = [await rich(platform, earn) for _ in range(3)]
    async with stopped(in_process, "promos"):
        voucher = await shop.create(100)
        waiting = [await shop.order(member, voucher.id, 7) for member in members]
        for member, order in zip(members, waiting, strict=True):
            seen = await shop.my_order(member, order.id)
            assert order.state == seen.state == PENDING
            assert seen.awaiting_codes_since.ToNanoseconds() >= seen.placed_at.ToNanoseconds()
            assert seen.failure_reason == ""
            assert await balance(platform, member) == 93
        assert (await shop.get(voucher.id)).codes == Codes(wanted=31, made=0, ready=0, making=True)
    owned = [await shop.until_completed(*pair) for pair in zip(members, [o.id for o in waiting], strict=True)]
    assert [order.awaiting_codes_since for order in owned] == [Timestamp()] * 3
    assert len({piece for order in owned for piece in order.wallet_voucher_ids}) == 21
    assert await shop.codes(voucher.id, "ASSIGNED") == 21
    assert {await balance(platform, member) for member in members} == {93}
    await check_invariants(platform)


@pytest.mark.covers("V6 OrderService.CancelMyOrder")
async def test_an_order_that_waits_for_its_codes_can_be_cancelled(
    platform: Platform, in_process: InProcess, earn: Earn, shop: Shop
) -> None:
    member = await rich(platform, earn)
    async with stopped(in_process, "promos"):
        voucher = await shop.create(5)
        order = await shop.order(member, voucher.id)
        request = order_pb2.CancelMyOrderRequest(order_id=order.id)
        await shop.orders.CancelMyOrder(request, metadata=bearer(member.token))

        async def cancelled() -> None:
            seen = await shop.my_order(member, order.id)
            assert seen.state == order_pb2.ORDER_STATE_CANCELLED
            assert not seen.HasField("awaiting_codes_since")

        await eventually(cancelled, seconds=20)
        assert await balance(platform, member) == 100
    await check_invariants(platform)


@pytest.mark.covers("V6 CatalogueService.UpdateVoucher", "V6 CatalogueService.PublishVoucher")
async def test_codes_follow_a_raised_quantity_while_a_voucher_is_published(shop: Shop) -> None:
    voucher = await shop.create(3)
    await shop.until(voucher.id, wanted=3, ready=3)
    assert (await shop.raise_to(voucher.id, 4)).wanted == 4
    request = catalogue_pb2.DeactivateVoucherRequest(voucher_id=voucher.id)
    await shop.catalogue.DeactivateVoucher(request, metadata=shop.staff)
    assert (await shop.raise_to(voucher.id, 1_000)).wanted == 4
    assert (await shop.publish(voucher.id)).wanted == AHEAD
    assert (await shop.raise_to(voucher.id, 2_000)).wanted == AHEAD
    await shop.until(voucher.id, wanted=AHEAD, ready=AHEAD)


@pytest.mark.covers("V6 CatalogueService.CreateVoucher")
async def test_a_draft_has_no_codes_until_it_is_published(shop: Shop) -> None:
    voucher = await shop.create(30, draft=True)
    assert not voucher.HasField("codes")
    await shop.raise_to(voucher.id, 40)
    assert not (await shop.get(voucher.id)).HasField("codes")
    assert await shop.codes(voucher.id) == 0
    assert (await shop.publish(voucher.id)).wanted == AHEAD
    await shop.until(voucher.id, wanted=AHEAD, ready=AHEAD)


@pytest.mark.covers("V6 OrderService.RefundOrder")
async def test_codes_that_a_refund_voids_get_successors(platform: Platform, earn: Earn, shop: Shop) -> None:
    member, voucher = await rich(platform, earn), await shop.create(3)
    await shop.until(voucher.id, wanted=3, ready=3)
    first = await shop.order(member, voucher.id, 3)
    await shop.until_completed(member, first.id)
    request = order_pb2.RefundOrderRequest(order_id=first.id, note="a mistake")
    await shop.orders.RefundOrder(request, metadata=[*shop.staff, ("idempotency-key", str(new_id()))])

    async def refunded() -> None:
        assert (await shop.my_order(member, first.id)).state == order_pb2.ORDER_STATE_REFUNDED

    await eventually(refunded, seconds=20)
    await shop.until(voucher.id, wanted=3, ready=3)
    again = await shop.order(member, voucher.id, 3)
    await shop.until_completed(member, again.id)
    assert (await shop.codes(voucher.id, "VOID"), await shop.codes(voucher.id, "ASSIGNED")) == (3, 3)
    await check_invariants(platform)


@pytest.mark.covers("V6 CatalogueService.ListVouchers", "V6 ShopService.GetOffer")
async def test_staff_see_progress_in_lists_and_members_see_nothing_of_it(
    platform: Platform, shop: Shop
) -> None:
    voucher, member = await shop.create(4), await platform.member()
    await shop.until(voucher.id, wanted=4, ready=4)
    request = catalogue_pb2.ListVouchersRequest(order_by="created_at desc", page_size=200)
    listed = (await shop.catalogue.ListVouchers(request, metadata=shop.staff)).vouchers
    assert [one.codes for one in listed if one.id == voucher.id] == [Codes(wanted=4, made=4, ready=4)]
    stub = shop_pb2_grpc.ShopServiceStub(shop.channel)
    offer = shop_pb2.GetOfferRequest(voucher_id=voucher.id)
    reply = await stub.GetOffer(offer, metadata=bearer(member.token))
    assert "codes" not in {field.name for field, _ in reply.offer.ListFields()}


@pytest.mark.covers("V6 CatalogueService.GetVoucher")
async def test_codes_are_asked_for_and_counted_without_the_job_and_one_that_fails_holds_up_no_other(
    platform: Platform, in_process: InProcess, shop: Shop
) -> None:
    good = [await shop.create(2)]
    async with stopped(in_process, "vouchers"), build(platform.settings["vouchers"]) as parts:
        bad = await shop.create(2)
        good.append(await shop.create(2))
        await parts.codes.run(bad.id)
        change = "UPDATE vouchers SET valid_days = %(days)s WHERE id = %(id)s"
        await parts.db.run(execute, change, id=UUID(bad.id), days=9)

        async def made() -> None:
            await parts.codes.look()
            for voucher in good:
                assert (await shop.get(voucher.id)).codes == Codes(wanted=2, made=2, ready=2)

        await eventually(made, seconds=20)
        assert (await shop.get(bad.id)).codes.making
        await parts.db.run(execute, change, id=UUID(bad.id), days=0)
    await shop.until(bad.id, wanted=2, ready=2)
