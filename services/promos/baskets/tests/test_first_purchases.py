"""Codes that are for a member's first purchase alone."""

from __future__ import annotations

import asyncio
from uuid import UUID

import grpc
import pytest
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.caller import TILL, Caller
from services.common.db import Connection
from services.common.encoding import timestamp
from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.promos.baskets.commands import redeem_basket
from services.promos.baskets.sales import Sale
from services.promos.codes import NewRedemption
from services.promos.tests.baskets_help import Baskets, NewCode, line, new_sale, percent, reason_of
from services.promos.tests.support import at_once
from tests.inprocess import Member, bearer, eventually, reason, refusal

BASKET = [line(1_000)]


async def welcome(baskets: Baskets, **fields: object) -> NewCode:
    """Returns a code for first purchases."""
    return await baskets.code(percent(10, first_purchase_only=True), **fields)  # type: ignore[arg-type]


async def buy(baskets: Baskets, member: Member, receipt_number: str = "") -> str:
    """Records a purchase of a member at the till; returns its receipt number."""
    receipt_number = receipt_number or new_sale()
    stub = purchase_pb2_grpc.PurchaseServiceStub(baskets.promos.platform.channels["points"])
    request = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=receipt_number,
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=1_000, quantity=1)],
    )
    await stub.RecordPurchase(request, metadata=bearer(baskets.promos.till))
    return receipt_number


async def void(baskets: Baskets, receipt_number: str) -> None:
    """Voids a purchase of the till."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(baskets.promos.platform.channels["points"])
    request = purchase_pb2.VoidPurchaseRequest(receipt_number=receipt_number)
    await stub.VoidPurchase(request, metadata=bearer(baskets.promos.till))


@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_a_first_purchase_needs_a_member_who_has_bought_nothing(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code = await welcome(baskets, uses=10)
    quote = await baskets.quote(BASKET, code)
    assert reason_of(quote.codes[0]) == "MEMBER_REQUIRED"
    assert await reason(baskets.redeem(BASKET, code)) == "MEMBER_REQUIRED"
    quote = await baskets.quote(BASKET, code, member_code=member.code)
    assert quote.codes[0].discount_minor == 100
    receipt = await buy(baskets, member)
    quote = await baskets.quote(BASKET, code, member_code=member.code)
    assert reason_of(quote.codes[0]) == "NOT_FIRST_PURCHASE"
    name, status, metadata = await refusal(baskets.redeem(BASKET, code, member_code=member.code))
    assert (name, status) == ("NOT_FIRST_PURCHASE", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_id": str(code.id)}
    await void(baskets, receipt)
    await baskets.redeem(BASKET, code, member_code=member.code)


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_a_member_quotes_its_own_first_purchase(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code = await welcome(baskets, owner=member.id)
    quote = await baskets.quote(BASKET, code, token=member.token)
    assert quote.codes[0].discount_minor == 100
    await buy(baskets, member)
    quote = await baskets.quote(BASKET, code, token=member.token)
    assert reason_of(quote.codes[0]) == "NOT_FIRST_PURCHASE"
    # The owner counts, whoever is shown, and when nobody is.
    another = await baskets.promos.platform.member()
    for shown in (another.code, ""):
        quote = await baskets.quote(BASKET, code, member_code=shown)
        assert reason_of(quote.codes[0]) == "NOT_FIRST_PURCHASE"


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_the_sale_itself_is_no_purchase_before_it(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code = await welcome(baskets)
    receipt = await buy(baskets, member)
    first = await baskets.redeem(BASKET, code, member_code=member.code, sale_reference=receipt)
    again = await baskets.redeem(BASKET, code, member_code=member.code, sale_reference=receipt)
    assert again == first


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_member_has_one_first_purchase_until_it_is_cancelled(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    one, two, three = [await welcome(baskets) for _ in range(3)]
    first = await baskets.redeem(BASKET, one, two, member_code=member.code)
    assert await reason(baskets.redeem(BASKET, three, member_code=member.code)) == "NOT_FIRST_PURCHASE"
    quote = await baskets.quote(BASKET, three, member_code=member.code)
    assert reason_of(quote.codes[0]) == "NOT_FIRST_PURCHASE"
    await baskets.promos.cancel(first.codes[0].redemption_id)
    assert await reason(baskets.redeem(BASKET, three, member_code=member.code)) == "NOT_FIRST_PURCHASE"
    await baskets.promos.cancel(first.codes[1].redemption_id)
    await baskets.redeem(BASKET, three, member_code=member.code)
    assert await reason(baskets.redeem(BASKET, one, member_code=member.code)) == "NOT_FIRST_PURCHASE"
    assert [await baskets.uses(code) for code in (one, two, three)] == [0, 0, 1]


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_of_fifty_first_purchases_at_once_one_is(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    codes = [await welcome(baskets) for _ in range(50)]
    replies, refusals = await at_once(baskets.redeem(BASKET, code, member_code=member.code) for code in codes)
    assert len(replies) == 1
    assert refusals == {"NOT_FIRST_PURCHASE": 49}
    assert sum([await baskets.uses(code) for code in codes]) == 1


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_another_first_purchase_takes_the_place_of_a_cancelled_one_once(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    cancelled = await baskets.redeem(BASKET, await welcome(baskets), member_code=member.code)
    await baskets.promos.cancel(cancelled.codes[0].redemption_id)
    codes = [await welcome(baskets) for _ in range(20)]
    replies, refusals = await at_once(baskets.redeem(BASKET, code, member_code=member.code) for code in codes)
    assert len(replies) == 1
    assert refusals == {"NOT_FIRST_PURCHASE": 19}


@pytest.mark.covers("C5 BasketService.RedeemBasket", "C5 BasketService.QuoteBasket")
async def test_when_points_is_away_first_purchases_wait_and_other_codes_do_not(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code, usual = await welcome(baskets), await baskets.code(percent(10))
    async with baskets.promos.another_process(points_target="ipv4:127.0.0.1:1") as promos:
        apart = Baskets(promos)
        for call in (apart.quote, apart.redeem):
            name, status, metadata = await refusal(call(BASKET, code, usual, member_code=member.code))
            assert (name, status) == ("DEPENDENCY_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
            assert metadata == {"dependency": "points"}
        await apart.redeem(BASKET, usual)
    assert await baskets.uses(code) == 0


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_an_owner_who_is_unknown_to_points_has_bought_nothing(baskets: Baskets) -> None:
    code = await welcome(baskets, owner=new_id())
    await baskets.redeem(BASKET, code)


def redemption(till: UUID, code: NewCode, member: UUID) -> NewRedemption:
    """Returns a redemption for a sale of its own."""
    return NewRedemption(
        Caller(str(till), TILL), code.text, "", new_sale(), member_id=member, basket_hash=b"basket"
    )


async def redeem(connection: Connection, code: NewCode, new: NewRedemption) -> None:
    """Redeems a basket with a code for first purchases, in a transaction that the caller ends."""
    assert new.member_id
    await redeem_basket(
        connection,
        Sale(new.actor.id, new.till_number, new.sale_reference),
        [new],
        fingerprint=b"basket",
        reply=b"",
        first_purchases={new.member_id: {code.id: new.id}},
    )


async def test_a_first_purchase_that_commits_while_another_waits_for_it_stands(baskets: Baskets) -> None:
    db, till, member = baskets.promos.db, new_id(), new_id()
    one, two = await welcome(baskets), await welcome(baskets)
    redeemed, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(connection: Connection) -> None:
        await redeem(connection, one, redemption(till, one, member))
        redeemed.set()
        await go_on.wait()

    async def waits() -> None:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %(like)s"
        )
        assert await baskets.promos.value(waiting, like="%INSERT INTO first_purchases%") == 1

    first = asyncio.create_task(db.run(slowly))
    await redeemed.wait()
    second = asyncio.create_task(db.run(redeem, two, redemption(till, two, member)))
    await eventually(waits)
    go_on.set()
    await first
    with pytest.raises(DomainError, match="NOT_FIRST_PURCHASE"):
        await second
    assert [await baskets.uses(code) for code in (one, two)] == [1, 0]
