"""Quotes: what they say is what is charged, once and in time; and promo codes in orders."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import (
    order_pb2,
    order_pb2_grpc,
    payment_method_pb2,
    payment_method_pb2_grpc,
    payment_pb2,
)

from services.common.codes import random_code
from services.common.db import execute, fetch_value
from services.common.ids import new_id
from services.vouchers.quotes.commands import forget_old_quotes
from services.vouchers.tests.support import Create, Earn
from tests.inprocess import Member, Platform, as_client, bearer, reason, refusal

COMPLETED = order_pb2.ORDER_STATE_COMPLETED
GOOD, DECLINED = "4242424242424242", "4000000000000002"


def usd(amount_minor: int) -> money_pb2.Money:
    """Returns an amount of the programme's currency."""
    return money_pb2.Money(currency_code="USD", amount_minor=amount_minor)


@dataclass(frozen=True)
class PromoCode:
    """A promo code."""

    id: UUID
    text: str


@dataclass(frozen=True)
class Shop:
    """OrderService, as members see it, and what staff have made."""

    platform: Platform
    method_id: str

    @property
    def stub(self) -> order_pb2_grpc.OrderServiceStub:
        """OrderService."""
        return order_pb2_grpc.OrderServiceStub(self.platform.channels["vouchers"])

    async def quote(self, member: Member, voucher_id: str, **fields: Any) -> order_pb2.Quote:
        """Returns a quote by card, unless `fields` say how it is paid."""
        request = order_pb2.QuoteOrderRequest(
            **{"voucher_id": voucher_id, "payment_method_id": self.method_id, **fields}
        )
        return (await as_client(self.stub.QuoteOrder, request, metadata=bearer(member.token))).quote

    async def order(
        self, member: Member, voucher_id: str, *, card: str = GOOD, key: str = "", **fields: Any
    ) -> order_pb2.Order:
        """Places an order by a quote, or as `fields` say; without a card if that is empty."""
        request = order_pb2.PlaceOrderRequest(voucher_id=voucher_id, **fields)
        if card:
            request.card.CopyFrom(payment_pb2.Card(number=card, expiry_month=12, expiry_year=2050, cvc="123"))
        metadata = bearer(member.token, idempotency_key=key or str(new_id()))
        return (await as_client(self.stub.PlaceOrder, request, metadata=metadata)).order

    async def discount(self, voucher_id: str, **discount: Any) -> None:
        """Has cards take something off a voucher."""
        stub = payment_method_pb2_grpc.PaymentMethodServiceStub(self.platform.channels["vouchers"])
        request = payment_method_pb2.SetPaymentDiscountRequest(
            voucher_id=voucher_id, payment_method_id=self.method_id, **discount
        )
        await stub.SetPaymentDiscount(request, metadata=bearer(await self.platform.admin()))

    async def promo_code(self, percent: int, owner: UUID | None = None) -> PromoCode:
        """Has promos hand out a code that can be used once."""
        code, set_id = PromoCode(new_id(), random_code(12)), new_id()
        await self.promos(
            """
            INSERT INTO code_sets (id, purpose, wanted, made, percent_off)
            VALUES (%(id)s, 'HANDED_OUT', 1, 1, %(percent)s)
            """,
            id=set_id,
            percent=percent,
        )
        await self.promos(
            """
            INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses_allowed)
            VALUES (%(id)s, %(set_id)s, %(code)s, 0, %(state)s, %(owner)s, 1)
            """,
            id=code.id,
            set_id=set_id,
            code=code.text,
            state="ASSIGNED" if owner else "BEARER",
            owner=owner,
        )
        return code

    async def uses(self, code: PromoCode) -> int:
        """Returns how often a code was used."""
        query = "SELECT uses FROM codes WHERE id = %(id)s"
        return int(await self.platform.databases["promos"].read(fetch_value, query, id=code.id))

    async def promos(self, statement: LiteralString, **values: object) -> None:
        """Changes promos' database."""
        await self.platform.databases["promos"].run(execute, statement, **values)

    async def vouchers(self, statement: LiteralString, **values: object) -> None:
        """Changes vouchers' database."""
        await self.platform.databases["vouchers"].run(execute, statement, **values)


@pytest.fixture(scope="module")
async def shop(platform: Platform) -> Shop:
    """Where vouchers are paid with test cards."""
    stub = payment_method_pb2_grpc.PaymentMethodServiceStub(platform.channels["vouchers"])
    request = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
    metadata = bearer(await platform.admin(), idempotency_key=str(new_id()))
    return Shop(platform, (await stub.CreatePaymentMethod(request, metadata=metadata)).payment_method.id)


def refused_reason(quote: order_pb2.Quote) -> str:
    """Returns why a quote is without its promo code."""
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in quote.promo_code_refused.details), quote
    return info.reason


@pytest.mark.covers("V2 OrderService.QuoteOrder", "V3 OrderService.PlaceOrder")
async def test_what_is_quoted_is_charged_whatever_has_changed_and_a_refund_gives_the_promo_code_back(
    shop: Shop, create: Create, earn: Earn
) -> None:
    member = await shop.platform.member()
    await earn(member, 1_000)
    voucher = await create(
        price_points=300, price=usd(1_005), price_rule="PRICE_RULE_TOGETHER", cancel_days=1
    )
    await shop.discount(voucher.id, percent_off=10)
    code = await shop.promo_code(50, owner=member.id)
    quote = await shop.quote(member, voucher.id, quantity=3, promo_code=code.text)
    # 3,015 less 301.5, rounded half up, less half of what is left, rounded half up.
    assert (quote.quantity, quote.price_points, quote.price) == (3, 900, usd(1_356))
    assert quote.discounts == order_pb2.OrderDiscounts(
        list_price=usd(3_015), by_payment_method=usd(302), by_promo_code=usd(1_357)
    )
    assert not quote.HasField("promo_code_refused")
    left = quote.expires_at.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=5) < left <= timedelta(minutes=11)

    await shop.vouchers(
        "UPDATE vouchers SET price_minor = 9999, price_points = 301 WHERE id = %(id)s", id=voucher.id
    )
    placed = await shop.order(member, voucher.id, quote_id=quote.id, amount=usd(1_356))
    assert (placed.state, placed.quantity, placed.price_points) == (COMPLETED, 3, 900)
    assert (placed.price, placed.discounts) == (quote.price, quote.discounts)
    assert await shop.uses(code) == 1

    cancelled = await shop.stub.CancelMyOrder(
        order_pb2.CancelMyOrderRequest(order_id=placed.id), metadata=bearer(member.token)
    )
    assert cancelled.order.state == order_pb2.ORDER_STATE_REFUNDED
    assert await shop.uses(code) == 0


@pytest.mark.covers("V2 OrderService.QuoteOrder")
async def test_a_quote_serves_one_order_of_its_member_in_time(shop: Shop, create: Create) -> None:
    member, stranger = await shop.platform.member(), await shop.platform.member()
    voucher = await create(price_points=0, price=usd(500))
    quote = await shop.quote(member, voucher.id)

    async def one(key: str) -> str:
        try:
            return (await shop.order(member, voucher.id, quote_id=quote.id, key=key)).id
        except grpc.aio.AioRpcError as error:
            return error.details() or ""

    assert await reason(shop.order(stranger, voucher.id, quote_id=quote.id)) == "QUOTE_NOT_FOUND"
    keys = [str(new_id()) for _ in range(6)]
    outcomes = await asyncio.gather(*map(one, keys))
    ids = [outcome for outcome in outcomes if len(outcome) == len(quote.id) and "-" in outcome]
    assert len(ids) == 1, outcomes
    assert Counter(outcomes).most_common(1)[0][1] == 5
    assert await one(keys[outcomes.index(ids[0])]) == ids[0]
    refused = await refusal(shop.order(member, voucher.id, quote_id=quote.id))
    assert refused == ("QUOTE_USED", grpc.StatusCode.FAILED_PRECONDITION, {"quote_id": quote.id})

    late = await shop.quote(member, voucher.id)
    await shop.vouchers("UPDATE quotes SET expires_at = now() WHERE id = %(id)s", id=late.id)
    name, status, metadata = await refusal(shop.order(member, voucher.id, quote_id=late.id))
    assert (name, status) == ("QUOTE_EXPIRED", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata.keys() == {"quote_id", "expired_at"}
    await shop.vouchers(
        "UPDATE quotes SET expires_at = now() - interval '25 hours' WHERE id = %(id)s", id=late.id
    )
    await shop.platform.databases["vouchers"].run(forget_old_quotes)
    assert await reason(shop.order(member, voucher.id, quote_id=late.id)) == "QUOTE_NOT_FOUND"


@pytest.mark.covers("V2 OrderService.QuoteOrder")
async def test_an_order_that_contradicts_its_quote_is_refused_and_leaves_it_unused(
    shop: Shop, create: Create
) -> None:
    member = await shop.platform.member()
    voucher, other = await create(price_points=0, price=usd(500)), await create()
    quote = await shop.quote(member, voucher.id, quantity=2)
    assert quote.price == usd(1_000)
    contradictions: list[tuple[str, dict[str, Any]]] = [
        (other.id, {}),
        (voucher.id, {"quantity": 3}),
        (voucher.id, {"payment_method_id": str(new_id())}),
        (voucher.id, {"promo_code": "ABC"}),
    ]
    for voucher_id, fields in contradictions:
        assert (
            await reason(shop.order(member, voucher_id, quote_id=quote.id, **fields)) == "VALIDATION_FAILED"
        )
    # So does what refuses it later: each of these has a key of its own.
    wrong = shop.order(member, voucher.id, quote_id=quote.id, amount=usd(999))
    assert await reason(wrong) == "AMOUNT_MISMATCH"
    yen = money_pb2.Money(currency_code="JPY", amount_minor=1_000)
    wrong = shop.order(member, voucher.id, quote_id=quote.id, amount=yen)
    assert await reason(wrong) == "CURRENCY_NOT_SUPPORTED"
    assert await reason(shop.order(member, voucher.id, quote_id=quote.id, card="")) == "CARD_REQUIRED"
    placed = await shop.order(member, voucher.id, quote_id=quote.id, amount=usd(1_000))
    assert (placed.state, placed.quantity) == (COMPLETED, 2)


@pytest.mark.covers("V2 OrderService.QuoteOrder")
async def test_a_quote_is_refused_as_its_order_would_be(shop: Shop, create: Create) -> None:
    member = await shop.platform.member()
    voucher = await create(price_points=0, price=usd(500), quantity=2, max_per_member=1)
    later = await create(sale_starts_at=datetime.now(UTC) + timedelta(days=1))
    points = await create()
    none = {"payment_method_id": ""}
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("VOUCHER_NOT_FOUND", str(new_id()), {}),
        ("VOUCHER_NOT_ON_SALE", later.id, none),
        ("SOLD_OUT", voucher.id, {"quantity": 3}),
        ("MEMBER_LIMIT_REACHED", voucher.id, {"quantity": 2}),
        ("GIFT_NOT_ALLOWED", voucher.id, {"as_gift": True}),
        ("PAYMENT_METHOD_REQUIRED", voucher.id, none),
        ("PAYMENT_METHOD_NOT_FOUND", voucher.id, {"payment_method_id": str(new_id())}),
        ("VALIDATION_FAILED", points.id, {}),  # it costs points alone
        ("VALIDATION_FAILED", voucher.id, {"promo_code": "A\0"}),
    ]
    for why, voucher_id, fields in refused:
        assert await reason(shop.quote(member, voucher_id, **fields)) == why
    either = await create(price_points=7, price=usd(500))
    quote = await shop.quote(member, either.id, quantity=2, **none)
    assert (quote.price_points, quote.HasField("price"), quote.HasField("discounts")) == (14, False, False)


@pytest.mark.covers("V2 OrderService.QuoteOrder")
async def test_a_promo_code_that_does_not_apply_is_left_out_and_the_quote_says_why(
    shop: Shop, create: Create, earn: Earn
) -> None:
    member = await shop.platform.member()
    await earn(member, 5)
    voucher = await create(price_points=5, price=usd(500))
    for code, fields, why in (
        ("7" * 12, {}, "CODE_NOT_VALID"),
        ((await shop.promo_code(50, owner=new_id())).text, {}, "CODE_NOT_VALID"),
        ((await shop.promo_code(50)).text, {"payment_method_id": ""}, "VALIDATION_FAILED"),
    ):
        quote = await shop.quote(member, voucher.id, promo_code=code, **fields)
        assert refused_reason(quote) == why
        assert not quote.HasField("discounts")
        by = fields or {"payment_method_id": shop.method_id}
        assert await reason(shop.order(member, voucher.id, promo_code=code, **by)) == why
    quote = await shop.quote(member, voucher.id, promo_code="7" * 12, payment_method_id="")
    assert (await shop.order(member, voucher.id, quote_id=quote.id, card="")).state == COMPLETED


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_an_order_that_a_promo_code_pays_whole_needs_no_payment(shop: Shop, create: Create) -> None:
    member, voucher = await shop.platform.member(), await create(price_points=0, price=usd(500))
    code = await shop.promo_code(100)
    placed = await shop.order(
        member, voucher.id, card="", payment_method_id=shop.method_id, promo_code=code.text, amount=usd(0)
    )
    assert (placed.state, placed.discounts.by_promo_code) == (COMPLETED, usd(500))
    assert await shop.uses(code) == 1
    again = shop.order(member, voucher.id, payment_method_id=shop.method_id, promo_code=code.text)
    assert await reason(again) == "CODE_NOT_VALID"


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_a_promo_code_comes_back_when_the_card_is_declined_and_fails_the_order_when_it_was_used(
    shop: Shop, create: Create
) -> None:
    member, voucher = await shop.platform.member(), await create(price_points=0, price=usd(500))
    code = await shop.promo_code(50)
    first = await shop.quote(member, voucher.id, promo_code=code.text)
    second = await shop.quote(member, voucher.id, promo_code=code.text)
    third = await shop.quote(member, voucher.id, promo_code=code.text)
    declined = shop.order(member, voucher.id, quote_id=first.id, card=DECLINED)
    assert await reason(declined) == "PAYMENT_DECLINED"
    assert await shop.uses(code) == 0
    placed = await shop.order(member, voucher.id, quote_id=second.id)
    assert (placed.price, await shop.uses(code)) == (usd(250), 1)
    assert await reason(shop.order(member, voucher.id, quote_id=third.id)) == "CODE_ALREADY_USED"
    query = "SELECT issued FROM vouchers WHERE id = %(id)s"
    assert await shop.platform.databases["vouchers"].read(fetch_value, query, id=voucher.id) == 1
