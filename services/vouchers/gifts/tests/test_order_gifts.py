"""Orders that are gifts: their vouchers are on offer from the moment that they are there."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from scrip.vouchers.v1 import catalogue_pb2, order_pb2, order_pb2_grpc

from services.common.ids import new_id
from services.vouchers.gifts.tests.giving import ACCEPTED, ON_OFFER, RETURNED, Giving
from tests.inprocess import Member, as_client, bearer, eventually, new_phone, reason

COMPLETED, REFUNDED = order_pb2.ORDER_STATE_COMPLETED, order_pb2.ORDER_STATE_REFUNDED


async def order_gift(
    giving: Giving,
    member: Member,
    voucher: catalogue_pb2.Voucher,
    phone: str,
    *,
    key: str = "",
    message: str = "",
    pieces: int = 1,
) -> order_pb2.Order:
    """Orders a voucher for somebody else."""
    stub = order_pb2_grpc.OrderServiceStub(giving.platform.channels["vouchers"])
    to = order_pb2.GiftRecipient(phone_number=phone, name="Grace Hopper", message=message)
    request = order_pb2.PlaceOrderRequest(voucher_id=voucher.id, quantity=pieces, gift=to)
    metadata = bearer(member.token, idempotency_key=key or str(new_id()))
    return (await as_client(stub.PlaceOrder, request, metadata=metadata)).order


async def refund(giving: Giving, order_id: str) -> order_pb2.Order:
    """Refunds an order, as staff do."""
    stub = order_pb2_grpc.OrderServiceStub(giving.platform.channels["vouchers"])
    request = order_pb2.RefundOrderRequest(order_id=order_id, note="asked for")
    metadata = bearer(await giving.platform.admin(), idempotency_key=str(new_id()))
    return (await as_client(stub.RefundOrder, request, metadata=metadata)).order


async def read(giving: Giving, member: Member, order_id: str) -> order_pb2.Order:
    """Reads an order."""
    stub = order_pb2_grpc.OrderServiceStub(giving.platform.channels["vouchers"])
    request = order_pb2.GetMyOrderRequest(order_id=order_id)
    return (await stub.GetMyOrder(request, metadata=bearer(member.token))).order


async def count(giving: Giving, voucher_id: str) -> int | None:
    """Returns how many pieces of a voucher count for its one recipient."""
    query = "SELECT given FROM voucher_recipients WHERE voucher_id = %(id)s"
    return await giving.value(query, id=UUID(voucher_id))  # type: ignore[no-any-return]


@pytest.mark.covers("V5 OrderService.PlaceOrder")
async def test_what_is_ordered_for_somebody_is_offered_to_that_person_once_for_each_piece(
    giving: Giving,
) -> None:
    voucher, giver = await giving.voucher(max_gifts_per_recipient=2), await giving.platform.member()
    friend = await giving.platform.member()
    await giving.earn(giver, 2_000)
    key = str(new_id())
    placed = await order_gift(giving, giver, voucher, friend.phone, key=key, pieces=2)
    assert placed.state == COMPLETED
    assert (await order_gift(giving, giver, voucher, friend.phone, key=key, pieces=2)).id == placed.id
    other = order_gift(giving, giver, voucher, new_phone(), key=key, pieces=2)
    assert await reason(other) == "IDEMPOTENCY_KEY_REUSED"
    assert [one.state for one in await giving.wallet(giver)] == [ON_OFFER] * 2
    assert {one.code for one in await giving.wallet(giver)} == {""}
    assert await reason(order_gift(giving, giver, voucher, friend.phone)) == "RECIPIENT_LIMIT_REACHED"
    assert placed.gift.recipient_name == "Grace Hopper"

    async def offered() -> None:
        assert len(await giving.received(friend)) == 2
        assert len(await giving.told(giver)) == 1

    await eventually(offered)
    first, second = await giving.received(friend)
    await giving.accept(friend, first.id)
    await giving.decline(friend, second.id)
    assert await count(giving, voucher.id) == 1

    async def forgotten() -> None:
        assert not (await read(giving, giver, placed.id)).HasField("gift")

    await eventually(forgotten)
    [kept] = await giving.wallet(giver)
    assert kept.code
    assert await reason(refund(giving, placed.id)) == "ORDER_CODES_USED"
    assert [one.state for one in await giving.wallet(friend)] == [kept.state]


@pytest.mark.covers("V7 OrderService.RefundOrder")
async def test_a_refund_ends_what_is_on_offer(giving: Giving) -> None:
    voucher, giver = await giving.voucher(max_gifts_per_recipient=2), await giving.platform.member()
    friend = await giving.platform.member()
    await giving.earn(giver, 1_000)
    placed = await order_gift(giving, giver, voucher, friend.phone, pieces=2)

    async def offered() -> None:
        assert len(await giving.received(friend)) == 2

    await eventually(offered)
    first, second = await giving.received(friend)
    await giving.decline(friend, first.id)
    assert (await refund(giving, placed.id)).state == REFUNDED
    assert await giving.received(friend) == []
    assert await reason(giving.accept(friend, second.id)) == "GIFT_NOT_FOUND"
    assert await count(giving, voucher.id) == 0
    assert not (await read(giving, giver, placed.id)).HasField("gift")
    assert {one.state for one in await giving.given(giver)} == {RETURNED}


async def test_of_accepting_and_refunding_at_once_one_wins(giving: Giving) -> None:
    for _ in range(3):
        giver, [owned] = await giving.owner()
        friend = await giving.platform.member()
        gift = await giving.give(giver, owned, friend.phone)
        order_id = (await giving.wallet(giver))[0].order_id
        await asyncio.gather(giving.accept(friend, gift.id), refund(giving, order_id), return_exceptions=True)
        await eventually(lambda gift=gift: giving.has_ended(gift.id))  # type: ignore[misc]

        async def decided(giver: Member = giver, friend: Member = friend, order_id: str = order_id) -> None:
            [seen] = await giving.given(giver)
            order = await read(giving, giver, order_id)
            usable = [one for one in await giving.wallet(friend) if one.code]
            assert (seen.state, order.state) in ((ACCEPTED, COMPLETED), (RETURNED, REFUNDED))
            assert len(usable) == (seen.state == ACCEPTED)

        await eventually(decided)


async def test_an_order_that_fails_forgets_its_recipient(giving: Giving) -> None:
    voucher, giver = await giving.voucher(max_gifts_per_recipient=1), await giving.platform.member()
    phone = new_phone()
    failed = order_gift(giving, giver, voucher, phone, message="words for nobody")
    assert await reason(failed) == "INSUFFICIENT_POINTS"
    assert await count(giving, voucher.id) == 0

    async def forgotten() -> None:
        assert await giving.told(giver) == []

    await eventually(forgotten)
    assert await giving.tables_with("words for nobody") == []
    own = order_gift(giving, giver, await giving.create(), phone)
    assert await reason(own) == "GIFT_NOT_ALLOWED"
    assert await reason(order_gift(giving, giver, voucher, giver.phone)) == "GIFT_TO_ONESELF"
