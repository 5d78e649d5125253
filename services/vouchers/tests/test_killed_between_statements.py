"""A process dies before any statement of a write: all of the write is there or nothing of it.

What is done in steps, because other services take part, may be half done then; its repetition or the sweep
does the rest, once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString
from uuid import UUID

import grpc
import pytest
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.common.v1 import money_pb2
from scrip.vouchers.internal.v1 import vouchers_pb2, vouchers_pb2_grpc
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    gift_pb2,
    order_pb2,
    order_pb2_grpc,
    payment_method_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    wallet_pb2,
)

from services.common.db import Database, execute, fetch_value, fetch_values
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.vouchers.gifts.tests.giving import Giving
from services.vouchers.orders.tests.test_money_orders import ASKS, DECLINED, GOOD, PRICE
from services.vouchers.payments.tests.staff import Staff
from services.vouchers.tests.support import Earn
from tests import invariants
from tests.dying import Call, Mortal, Mortals, all_deaths, assert_all_or_nothing, mortals
from tests.inprocess import Member, Platform, bearer, eventually
from tests.own_service import environment, own_service

_COUNTED = (
    "count(*) FROM vouchers",
    "count(*) FROM vouchers WHERE state = 'ACTIVE'",
    "count(*) FROM vouchers WHERE state = 'INACTIVE'",
    "count(*) FROM vouchers WHERE state = 'ARCHIVED'",
    "sum(quantity) FROM vouchers",
    "sum(version) FROM vouchers",
    "sum(issued) FROM vouchers",
    "sum(codes_wanted) FROM vouchers",
    "sum(codes_made) FROM vouchers",
    "count(*) FROM payment_methods",
    "count(archived_at) FROM payment_methods",
    "sum(version) FROM payment_methods",
    "count(*) FROM payment_discounts",
    "sum(version) FROM payment_discounts",
    "count(*) FROM quotes",
    "count(*) FROM orders",
    "count(*) FROM orders WHERE state = 'PENDING'",
    "count(*) FROM orders WHERE state = 'AWAITING_PAYMENT'",
    "count(*) FROM orders WHERE state = 'COMPLETED'",
    "count(*) FROM orders WHERE state = 'FAILED'",
    "count(*) FROM orders WHERE state = 'CANCELLED'",
    "count(*) FROM orders WHERE state = 'REFUNDED'",
    "sum(cardinality(steps)) FROM orders",
    "sum(ordered) FROM voucher_members",
    "sum(given) FROM voucher_recipients",
    "count(*) FROM payments",
    "count(*) FROM payments WHERE state = 'CAPTURED'",
    "count(*) FROM payments WHERE state = 'DECLINED'",
    "count(*) FROM payments WHERE state IN ('VOIDED', 'REFUNDED')",
    "count(*) FROM sandbox_payments",
    "count(*) FROM sandbox_payments WHERE state = 'CAPTURED'",
    "count(*) FROM sandbox_payments WHERE state IN ('VOIDED', 'REFUNDED')",
    "count(*) FROM wallet_vouchers",
    "count(gift_id) FROM wallet_vouchers",
    "count(*) FROM gifts",
    "count(*) FROM gifts WHERE state = 'OFFERED'",
    "count(*) FROM gifts WHERE state = 'ACCEPTED'",
    "count(*) FROM gifts WHERE state = 'RETURNED'",
    "count(*) FROM gifts WHERE message <> ''",
    "sum(version) FROM wallet_codes WHERE code IS NULL",
    "count(*) FROM idempotency_keys",
    "count(*) FROM idempotency_keys WHERE reply = ''",
    "count(*) FROM outbox",
)
"""Everything that a write may leave, but for jobs, which a repetition may queue once more."""

_STATE = f"SELECT unnest(ARRAY[{', '.join(f'(SELECT {each})' for each in _COUNTED)}]::bigint[])".encode()


@dataclass
class Vouchers:
    """A vouchers service, as members and staff see it."""

    platform: Platform
    database: Database
    earn: Earn
    admin: str
    method_id: str = ""

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to it."""
        return self.platform.channels["vouchers"]

    @property
    def orders(self) -> order_pb2_grpc.OrderServiceStub:
        """OrderService."""
        return order_pb2_grpc.OrderServiceStub(self.channel)

    @property
    def catalogue(self) -> catalogue_pb2_grpc.CatalogueServiceStub:
        """CatalogueService."""
        return catalogue_pb2_grpc.CatalogueServiceStub(self.channel)

    @property
    def giving(self) -> Giving:
        """Gifts."""
        return Giving(self.platform, self.make, self.earn, self.place)

    async def make(self, *, quantity: int = 10, price_points: int = 500, **fields: Any) -> Any:
        """Creates a voucher as staff do."""
        request = new_voucher(quantity=quantity, price_points=price_points, **fields)
        return (await self.catalogue.CreateVoucher(request, metadata=bearer(self.admin))).voucher

    async def place(self, member: Member, voucher_id: str, key: str = "") -> order_pb2.PlaceOrderResponse:
        """Places an order as a member does."""
        metadata = bearer(member.token, idempotency_key=key or str(new_id()))
        return await self.orders.PlaceOrder(
            order_pb2.PlaceOrderRequest(voucher_id=voucher_id), metadata=metadata
        )

    async def get(self, member: Member, order_id: str) -> order_pb2.Order:
        """Reads an order."""
        request = order_pb2.GetMyOrderRequest(order_id=order_id)
        return (await self.orders.GetMyOrder(request, metadata=bearer(member.token))).order

    async def run(self, query: LiteralString, **values: object) -> None:
        """Changes what no call changes."""
        await self.database.run(execute, query, **values)


def new_voucher(**fields: Any) -> catalogue_pb2.CreateVoucherRequest:
    """Returns what a voucher is created from."""
    face_value = money_pb2.Money(currency_code="USD", amount_minor=500)
    return catalogue_pb2.CreateVoucherRequest(title="$5 off", face_value=face_value, **fields)


@dataclass
class World:
    """A service that lives, children that die, and who calls them."""

    platform: Platform
    vouchers: Vouchers
    url: str
    mortals: Mortals
    immortal: Mortal

    def reached_by(self, channel: grpc.aio.Channel | None) -> Vouchers:
        """Returns vouchers, over this channel if there is one."""
        if channel is None:
            return self.vouchers
        platform = self.vouchers.platform
        channels = {**platform.channels, "vouchers": channel}
        return replace(self.vouchers, platform=replace(platform, channels=channels))

    async def state(self) -> Sequence[int]:
        """Returns what there is."""
        return [int(each or 0) for each in await self.vouchers.database.read(fetch_values, _STATE)]

    async def assert_sound(self) -> None:
        """INV2: what is issued is ordered or owned."""
        await asyncio.to_thread(invariants.check_stock, self.url)

    async def assert_settled(self) -> None:
        """INV5: every order is completed with its debit, its payment and its codes, or fully undone."""
        databases = {
            name: self.vouchers.platform.postgres.url(name) for name in ("identity", "points", "promos")
        }
        # Some of these orders wait for their members.
        open_orders = "SELECT count(*) FROM orders WHERE state = 'AWAITING_PAYMENT'"
        if not await self.vouchers.database.read(fetch_value, open_orders):
            databases["vouchers"] = self.url
            await asyncio.to_thread(invariants.check_orders, databases, foreign_debits=True)
        await asyncio.to_thread(invariants.check_offers, self.url)


@pytest.fixture(scope="module")
async def world(
    platform: Platform, earn: Earn, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A service of its own, for other writes would be mistaken for those under test."""
    folder, module = tmp_path_factory.mktemp("d"), "services.vouchers.tests.dying"
    async with (
        own_service(platform, "vouchers") as own,
        mortals(module, environment(platform, "vouchers", own.database_url), folder) as made,
    ):
        channels = {**platform.channels, "vouchers": own.channel}
        databases = {**platform.databases, "vouchers": own.database}
        seen = replace(platform, channels=channels, databases=databases)
        vouchers = Vouchers(seen, own.database, earn, await platform.admin())
        vouchers.method_id = (await _staff(vouchers).create()).id
        found = World(platform, vouchers, own.database_url, made, await made.next())
        yield found
        # Promos, which others use too, holds no code for a gift any more.
        await vouchers.run("UPDATE gifts SET returns_at = now() WHERE state = 'OFFERED'")
        await found.immortal.command(give_back=True)
        for gift_id in await vouchers.database.read(fetch_values, "SELECT id::text FROM gifts"):
            await found.immortal.command(advance=gift_id)


async def _on_sale(world: World, **fields: Any) -> catalogue_pb2.Voucher:
    """Returns a voucher whose codes are there."""
    voucher: catalogue_pb2.Voucher = await world.vouchers.make(quantity=2, **fields)
    await _stocked(world, voucher.id)
    return voucher


async def _stocked(world: World, voucher_id: str) -> None:
    async def made() -> None:
        await world.immortal.command(codes=voucher_id)
        query = "SELECT codes_made >= codes_wanted FROM vouchers WHERE id = %(id)s"
        assert await world.vouchers.database.read(fetch_value, query, id=UUID(voucher_id))

    await eventually(made, seconds=30)


# ---------------------------------------------------------------------------- in one transaction
async def create_voucher(world: World) -> Call:
    request = new_voucher(quantity=3, price_points=500)
    metadata = bearer(world.vouchers.admin, idempotency_key=str(new_id()))
    return lambda vouchers, _: vouchers.catalogue.CreateVoucher(request, metadata=metadata)


async def change_voucher(world: World) -> Call:
    made = await _on_sale(world)
    request = catalogue_pb2.UpdateVoucherRequest(voucher_id=made.id, quantity=5)
    return lambda vouchers, _: vouchers.catalogue.UpdateVoucher(request, metadata=bearer(vouchers.admin))


async def publish_voucher(world: World) -> Call:
    made = await world.vouchers.make(draft=True)
    request = catalogue_pb2.PublishVoucherRequest(voucher_id=made.id)
    return lambda vouchers, _: vouchers.catalogue.PublishVoucher(request, metadata=bearer(vouchers.admin))


async def deactivate_voucher(world: World) -> Call:
    made = await _on_sale(world)
    request = catalogue_pb2.DeactivateVoucherRequest(voucher_id=made.id)
    return lambda vouchers, _: vouchers.catalogue.DeactivateVoucher(request, metadata=bearer(vouchers.admin))


async def archive_voucher(world: World) -> Call:
    made = await _on_sale(world)
    request = catalogue_pb2.ArchiveVoucherRequest(voucher_id=made.id)
    return lambda vouchers, _: vouchers.catalogue.ArchiveVoucher(request, metadata=bearer(vouchers.admin))


async def create_payment_method(world: World) -> Call:
    key = str(new_id())
    return lambda vouchers, _: _staff(vouchers).create(key)


async def archive_payment_method(world: World) -> Call:
    method = await _staff(world.vouchers).create()
    return lambda vouchers, _: _staff(vouchers).archive(method.id)


async def set_discount(world: World) -> Call:
    voucher, method = await world.vouchers.make(price_points=0, price=PRICE), world.vouchers.method_id
    return lambda vouchers, _: _staff(vouchers).set_discount(voucher.id, method, percent_off=10)


async def hear_of_a_code(world: World) -> Call:
    request = vouchers_pb2.ApplyCodeStateRequest(
        code_id=str(new_id()), state=wallet_pb2.WALLET_VOUCHER_STATE_USED, version=3
    )
    promos = bearer(await world.platform.service_token("promos"))
    return lambda vouchers, _: vouchers_pb2_grpc.VouchersInternalServiceStub(vouchers.channel).ApplyCodeState(
        request, metadata=promos
    )


async def note_codes_that_were_made(world: World) -> Call:
    voucher = await _on_sale(world)
    await world.vouchers.run("UPDATE vouchers SET codes_made = 0 WHERE id = %(id)s", id=UUID(voucher.id))

    async def run(vouchers: Vouchers, mortal: Mortal) -> int:
        await mortal.command(codes=voucher.id)
        query = "SELECT codes_made FROM vouchers WHERE id = %(id)s"
        return int(await vouchers.database.read(fetch_value, query, id=UUID(voucher.id)))

    return run


def _staff(vouchers: Vouchers) -> Staff:
    return Staff(payment_method_pb2_grpc.PaymentMethodServiceStub(vouchers.channel), vouchers.admin)


# ---------------------------------------------------------------------------- in steps
_AT_WORK = (
    order_pb2.ORDER_STATE_PENDING,
    order_pb2.ORDER_STATE_UNDOING,
    order_pb2.ORDER_STATE_REFUNDING,
)


_OVERDUE = """
    UPDATE orders SET
      deadline_at = CASE WHEN id = %(id)s THEN now() - interval '1 s' ELSE now() + interval '1 h' END
    WHERE id <> %(id)s OR state <> 'AWAITING_PAYMENT'
"""
"""The sweep finds this order, and none that another test left open."""
_TO_BE_CHECKED = """
    UPDATE payments SET check_at = now() + CASE WHEN id = %(id)s THEN interval '0' ELSE interval '1 h' END
    WHERE check_at IS NOT NULL
"""


async def _ended(vouchers: Vouchers, mortal: Mortal, member: Member, order_id: str) -> order_pb2.Order:
    """Returns an order once it has come to rest: its time is over, and the sweep takes it over."""

    async def at_rest() -> order_pb2.Order:
        await vouchers.run(_OVERDUE, id=UUID(order_id))
        await vouchers.run(_TO_BE_CHECKED, id=UUID(order_id))
        await mortal.command(sweep=True)
        order = await vouchers.get(member, order_id)
        assert order.state not in _AT_WORK, order
        return order

    return await eventually(at_rest, seconds=30)


def _ordering(member: Member, request: order_pb2.PlaceOrderRequest, *, refused: bool = False) -> Call:
    metadata = bearer(member.token, idempotency_key=str(new_id()))

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        try:
            order_id = (await vouchers.orders.PlaceOrder(request, metadata=metadata)).order.id
        except grpc.aio.AioRpcError as error:
            if not refused or error.code() is grpc.StatusCode.UNAVAILABLE:
                raise
            query = "SELECT id::text FROM orders WHERE member_id = %(id)s"
            order_id = await vouchers.database.read(fetch_value, query, id=member.id)
        return await _ended(vouchers, mortal, member, order_id)

    return run


def _card(number: str) -> payment_pb2.Card:
    return payment_pb2.Card(number=number, expiry_month=12, expiry_year=2050, cvc="123")


async def _buyer(world: World, points: int = 500) -> Member:
    member = await world.platform.member()
    await world.vouchers.earn(member, points)
    return member


async def _by_card(world: World, card: str, *, refused: bool = False) -> Call:
    voucher = await _on_sale(world, price=PRICE, price_rule="PRICE_RULE_TOGETHER", max_per_member=2)
    request = order_pb2.PlaceOrderRequest(
        voucher_id=voucher.id, payment_method_id=world.vouchers.method_id, card=_card(card)
    )
    return _ordering(await _buyer(world), request, refused=refused)


async def order_for_points(world: World) -> Call:
    voucher = await _on_sale(world, max_per_member=2)
    return _ordering(
        await _buyer(world, 1_000), order_pb2.PlaceOrderRequest(voucher_id=voucher.id, quantity=2)
    )


async def order_by_card_and_points(world: World) -> Call:
    return await _by_card(world, GOOD)


async def order_that_is_declined(world: World) -> Call:
    return await _by_card(world, DECLINED, refused=True)


async def order_that_waits_for_its_member(world: World) -> Call:
    return await _by_card(world, ASKS)


async def _bought(world: World, card: str = "", **fields: Any) -> tuple[Member, order_pb2.Order]:
    """Returns an order that is completed, or waits for its member, and that member."""
    if card:
        fields |= {"price": PRICE, "price_rule": "PRICE_RULE_TOGETHER"}
    voucher = await _on_sale(world, **{"buy_type": catalogue_pb2.BUY_TYPE_GIFT, "cancel_days": 7} | fields)
    request = order_pb2.PlaceOrderRequest(voucher_id=voucher.id)
    if card:
        request.payment_method_id = world.vouchers.method_id
        request.card.CopyFrom(_card(card))
    member = await _buyer(world)
    return member, await _ordering(member, request)(world.vouchers, world.immortal)


async def confirm_a_payment(world: World) -> Call:
    """AWAITING_PAYMENT, and what the bank says then."""
    member, order = await _bought(world, ASKS)
    confirm = payment_pb2.ConfirmSandboxPaymentRequest(
        payment_id=order.id, token=order.redirect_url.partition("#")[2], approve=True
    )

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        bank = payment_pb2_grpc.SandboxPaymentServiceStub(vouchers.channel)
        await bank.ConfirmSandboxPayment(confirm)

        query = "SELECT state FROM orders WHERE id = %(id)s"

        async def completed() -> None:
            assert await vouchers.database.read(fetch_value, query, id=UUID(order.id)) == "COMPLETED"

        # The service goes on by itself, unless it died; then the sweep does.
        with contextlib.suppress(AssertionError):
            await eventually(completed, seconds=0.5)
        return await _ended(vouchers, mortal, member, order.id)

    return run


_TOO_LATE = """
    UPDATE orders SET pay_until = least(pay_until, now()), deadline_at = now() - interval '1 s'
    WHERE id = %(id)s AND state = 'AWAITING_PAYMENT'
"""


async def pay_too_late(world: World) -> Call:
    member, order = await _bought(world, ASKS)

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        query = "SELECT state <> 'AWAITING_PAYMENT' FROM orders WHERE id = %(id)s"

        async def over() -> None:
            await vouchers.run(_TOO_LATE, id=UUID(order.id))
            await mortal.command(sweep=True)
            assert await vouchers.database.read(fetch_value, query, id=UUID(order.id))

        await eventually(over, seconds=30)
        return await _ended(vouchers, mortal, member, order.id)

    return run


async def cancel_an_order(world: World) -> Call:
    member, order = await _bought(world, GOOD)
    request = order_pb2.CancelMyOrderRequest(order_id=order.id)

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        await vouchers.orders.CancelMyOrder(request, metadata=bearer(member.token))
        return await _ended(vouchers, mortal, member, order.id)

    return run


async def refund_an_order_with_a_gift(world: World) -> Call:
    member, order = await _bought(world, GOOD)
    giving, friend = world.vouchers.giving, await world.platform.member()
    gift = await giving.give(member, order.wallet_voucher_id, friend.phone)
    await world.immortal.command(advance=gift.id)
    request = order_pb2.RefundOrderRequest(order_id=order.id, note="broken")
    metadata = bearer(world.vouchers.admin, idempotency_key=str(new_id()))

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        await vouchers.orders.RefundOrder(request, metadata=metadata)
        ended = await _ended(vouchers, mortal, member, order.id)
        await mortal.command(advance=gift.id)
        return ended

    return run


async def give_a_voucher(world: World) -> Call:
    member, order = await _bought(world)
    friend = await world.platform.member()
    to = order_pb2.GiftRecipient(phone_number=friend.phone, name="Grace Hopper")
    request = gift_pb2.GiveVoucherRequest(wallet_voucher_id=order.wallet_voucher_id, recipient=to)
    metadata = bearer(member.token, idempotency_key=str(new_id()))

    async def run(vouchers: Vouchers, mortal: Mortal) -> str:
        gift = (await vouchers.giving.gifts.GiveVoucher(request, metadata=metadata)).gift
        await mortal.command(advance=gift.id)
        return gift.id

    return run


async def order_a_gift(world: World) -> Call:
    voucher = await _on_sale(world, buy_type=catalogue_pb2.BUY_TYPE_GIFT, max_gifts_per_recipient=2)
    friend = await world.platform.member()
    request = order_pb2.PlaceOrderRequest(voucher_id=voucher.id, quantity=2)
    request.gift.phone_number, request.gift.name = friend.phone, "Grace Hopper"
    order = _ordering(await _buyer(world, 1_000), request)

    async def run(vouchers: Vouchers, mortal: Mortal) -> order_pb2.Order:
        placed: order_pb2.Order = await order(vouchers, mortal)
        query = "SELECT id::text FROM gifts WHERE order_id = %(id)s ORDER BY id"
        for gift_id in await vouchers.database.read(fetch_values, query, id=UUID(placed.id)):
            await mortal.command(advance=gift_id)
        return placed

    return run


async def _offered(world: World, message: str = "") -> tuple[Member, Member, str]:
    """Returns a giver, who is to receive, and a gift that is on offer."""
    giver, order = await _bought(world)
    friend = await world.platform.member()
    gift = await world.vouchers.giving.give(giver, order.wallet_voucher_id, friend.phone, message=message)
    await world.immortal.command(advance=gift.id)
    return giver, friend, gift.id


async def _state_of(vouchers: Vouchers, gift_id: str) -> str:
    query = "SELECT state FROM gifts WHERE id = %(id)s"
    return str(await vouchers.database.read(fetch_value, query, id=UUID(gift_id)))


async def accept_a_gift(world: World) -> Call:
    _, friend, gift_id = await _offered(world)

    async def run(vouchers: Vouchers, mortal: Mortal) -> str:
        await vouchers.giving.accept(friend, gift_id)
        await mortal.command(advance=gift_id)
        return await _state_of(vouchers, gift_id)

    return run


async def withdraw_a_gift(world: World) -> Call:
    giver, _, gift_id = await _offered(world)

    async def run(vouchers: Vouchers, mortal: Mortal) -> str:
        if await _state_of(vouchers, gift_id) == "OFFERED":
            await vouchers.giving.withdraw(giver, gift_id)
        await mortal.command(advance=gift_id)
        return await _state_of(vouchers, gift_id)

    return run


async def return_a_gift_in_time(world: World) -> Call:
    _, _, gift_id = await _offered(world)
    await world.vouchers.run("UPDATE gifts SET returns_at = now() WHERE id = %(id)s", id=UUID(gift_id))

    async def run(vouchers: Vouchers, mortal: Mortal) -> str:
        await mortal.command(give_back=True)
        await mortal.command(advance=gift_id)
        return await _state_of(vouchers, gift_id)

    return run


async def hear_that_an_account_is_closed(world: World) -> Call:
    _, friend, gift_id = await _offered(world, "Happy birthday")
    await world.vouchers.giving.accept(friend, gift_id)
    await world.immortal.command(advance=gift_id)
    request = member_events_pb2.ApplyRequest(
        event_id=str(new_id()),
        member_id=str(friend.id),
        version=9,
        type=member_events_pb2.MEMBER_EVENT_TYPE_CLOSED,
        occurred_at=timestamp(utc_now()),
    )
    identity = bearer(await world.platform.service_token("identity"))
    return lambda vouchers, _: member_events_pb2_grpc.MemberEventsServiceStub(vouchers.channel).Apply(
        request, metadata=identity
    )


WRITES = [
    create_voucher,
    change_voucher,
    publish_voucher,
    deactivate_voucher,
    archive_voucher,
    create_payment_method,
    archive_payment_method,
    set_discount,
    hear_of_a_code,
    note_codes_that_were_made,
    hear_that_an_account_is_closed,
]
IN_STEPS = [
    order_for_points,
    order_by_card_and_points,
    order_that_is_declined,
    order_that_waits_for_its_member,
    confirm_a_payment,
    pay_too_late,
    cancel_an_order,
    refund_an_order_with_a_gift,
    give_a_voucher,
    order_a_gift,
    accept_a_gift,
    withdraw_a_gift,
    return_a_gift_in_time,
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_all_or_nothing(world: World, write: Callable[[World], Awaitable[Call]]) -> None:
    assert_all_or_nothing(await all_deaths(world, lambda: write(world)))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("write", IN_STEPS, ids=lambda write: write.__name__)
async def test_what_a_death_left_half_done_is_done_once(
    world: World, write: Callable[[World], Awaitable[Call]]
) -> None:
    assert_all_or_nothing(await all_deaths(world, lambda: write(world)), in_steps=True)
