"""Quoting a basket: what codes take off, why they do not, and who learns it. A quote changes nothing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from scrip.common.internal.v1 import member_events_pb2
from scrip.promos.v1 import basket_pb2

from services.common.ids import new_id
from services.promos.tests.baskets_help import (
    Baskets,
    amount,
    field_refused,
    line,
    percent,
    reason_of,
)
from tests.inprocess import reason, refusal

NOWHERE = "7" * 12
SUSPENDED = member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED
RESTORED = member_events_pb2.MEMBER_EVENT_TYPE_RESTORED


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_a_quote_names_the_discount_of_each_line_and_code(baskets: Baskets) -> None:
    bread = await baskets.code(percent(50, categories=("bakery",)))
    five = await baskets.code(amount(500))
    basket = [line(1_001, "bakery"), line(2_000, "wine")]
    quote = await baskets.quote(basket, five, bread)
    # Half of the bread, 500.5, is rounded up; then 500 off 500 and 2,000, spread as 100 and 400.
    assert [(one.total_minor, one.discount_minor, one.payable_minor) for one in quote.lines] == [
        (1_001, 601, 400),
        (2_000, 400, 1_600),
    ]
    assert [[(part.code_id, part.discount_minor) for part in one.discounts] for one in quote.lines] == [
        [(str(bread.id), 501), (str(five.id), 100)],
        [(str(five.id), 400)],
    ]
    assert [(one.code_id, one.discount_minor) for one in quote.codes] == [
        (str(five.id), 500),
        (str(bread.id), 501),
    ]
    assert list(quote.codes[1].benefit.categories) == ["bakery"]
    sums = (quote.total, quote.discount, quote.payable)
    assert [(one.currency_code, one.amount_minor) for one in sums] == [
        ("USD", 3_001),
        ("USD", 1_001),
        ("USD", 2_000),
    ]


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_a_quote_changes_nothing_and_can_be_asked_again(baskets: Baskets) -> None:
    code = await baskets.code(percent(10))
    first = await baskets.quote([line(1_000)], code)
    for _ in range(5):
        assert await baskets.quote([line(1_000)], code) == first
    assert await baskets.uses(code) == 0


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_the_order_of_the_request_changes_no_amount(baskets: Baskets) -> None:
    codes = [await baskets.code(benefit) for benefit in (amount(300), percent(10), amount(700), percent(25))]
    basket = [line(999), line(501), line(3_333)]
    there = await baskets.quote(basket, *codes)
    back = await baskets.quote(basket, *reversed(codes))
    assert list(there.lines) == list(back.lines)
    assert list(there.codes) == list(reversed(back.codes))
    order = [str(codes[place].id) for place in (3, 1, 2, 0)]
    assert [part.code_id for part in there.lines[2].discounts] == order


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_fractions_and_totals_of_lines_count_as_on_receipts(baskets: Baskets) -> None:
    code = await baskets.code(percent(100))
    weighed = basket_pb2.BasketLine(unit_price_minor=1_999, quantity_milli=345)  # 689.655
    three_for_two = basket_pb2.BasketLine(unit_price_minor=100, quantity=3, total_minor=200)
    quote = await baskets.quote([weighed, three_for_two], code)
    assert [one.total_minor for one in quote.lines] == [690, 200]
    assert quote.payable.amount_minor == 0


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_each_code_that_does_not_apply_says_why_and_the_others_do(baskets: Baskets) -> None:
    promos = baskets.promos
    used = await baskets.code(amount(100))
    await promos.redeem(used.text, "before")
    small = await baskets.code(percent(10, minimum_spend=5_000))
    toys = await baskets.code(percent(10, categories=("toys",)))
    good = await baskets.code(percent(10))
    quote = await baskets.quote([line(1_000)], used, small, toys, good, NOWHERE)
    assert [reason_of(one) for one in (*quote.codes[:3], quote.codes[4])] == [
        "CODE_ALREADY_USED",
        "MINIMUM_SPEND_NOT_REACHED",
        "NO_LINE_APPLIES",
        "CODE_NOT_VALID",
    ]
    assert quote.codes[3].discount_minor == 100
    assert quote.payable.amount_minor == 900
    # What can not be redeemed at all shows no benefit; what does not apply to this basket does.
    assert [one.HasField("benefit") for one in quote.codes] == [False, True, True, True, False]


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_exclusive_codes_apply_alone_and_the_same_code_counts_once(baskets: Baskets) -> None:
    alone = await baskets.code(percent(50, exclusive=True))
    usual = await baskets.code(percent(10))
    quote = await baskets.quote([line(1_000)], alone)
    assert quote.payable.amount_minor == 500
    quote = await baskets.quote([line(1_000)], alone, usual)
    assert reason_of(quote.codes[0]) == "CODE_NOT_COMBINABLE"
    assert quote.payable.amount_minor == 900
    spaced = "-".join(usual.text).lower()
    quote = await baskets.quote([line(1_000)], usual, spaced)
    assert reason_of(quote.codes[1]) == "CODE_GIVEN_TWICE"
    assert quote.payable.amount_minor == 900
    quote = await baskets.quote([line(1_000)], usual)
    free = await baskets.quote([line(0)], usual)
    assert reason_of(free.codes[0]) == "NOTHING_LEFT_TO_DISCOUNT"


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_a_member_quotes_its_own_codes_and_those_for_anybody(baskets: Baskets) -> None:
    me = new_id()
    token = await baskets.promos.platform.token("member", me)
    mine = await baskets.code(percent(10), owner=me)
    anybodys = await baskets.code(percent(10))
    anothers = await baskets.code(percent(10), owner=new_id())
    nobodys = await baskets.code(percent(10), state="READY")
    quote = await baskets.quote([line(1_000)], mine, anybodys, anothers, NOWHERE, nobodys, token=token)
    assert [one.discount_minor for one in quote.codes[:2]] in ([100, 90], [90, 100])
    # To a stranger all of these look alike, in every byte.
    assert reason_of(quote.codes[2]) == "CODE_NOT_VALID"
    assert quote.codes[2] == quote.codes[3] == quote.codes[4]
    assert await field_refused(baskets.quote([line(1)], mine, token=token, member_code="X")) == "member_code"


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_every_wrong_code_of_a_quote_is_a_guess(baskets: Baskets) -> None:
    guesser = await baskets.promos.platform.token("member")
    good = await baskets.code(percent(10))
    for turn in range(6):
        wrong = [f"{turn}{number}".rjust(12, "Z") for number in range(5)]
        quote = await baskets.quote([line(1_000)], *wrong, token=guesser)
        assert {reason_of(one) for one in quote.codes} == {"CODE_NOT_VALID"}
    name, status, _ = await refusal(baskets.quote([line(1_000)], good, token=guesser))
    assert (name, status) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert (await baskets.quote([line(1_000)], good)).discount.amount_minor == 100


@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_a_code_with_a_limit_per_member_needs_the_member(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code = await baskets.code(percent(10), uses=10, uses_per_member=1)
    quote = await baskets.quote([line(1_000)], code)
    assert reason_of(quote.codes[0]) == "MEMBER_REQUIRED"
    quote = await baskets.quote([line(1_000)], code, member_code=member.code)
    assert quote.codes[0].discount_minor == 100
    await baskets.redeem([line(1_000)], code, member_code=member.code)
    quote = await baskets.quote([line(1_000)], code, member_code=member.code)
    assert reason_of(quote.codes[0]) == "CODE_MEMBER_LIMIT"
    first = await baskets.code(percent(10), uses_per_member=1)
    second = await baskets.code(percent(10), like=first)
    quote = await baskets.quote([line(1_000)], first, second, member_code=member.code)
    assert quote.codes[0].discount_minor == 100
    assert reason_of(quote.codes[1]) == "CODE_MEMBER_LIMIT", "two codes of one set are two uses"
    unknown = baskets.quote([line(1_000)], code, member_code="NOBODY")
    assert await reason(unknown) == "MEMBER_CODE_UNKNOWN"


@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_what_a_suspended_member_owns_does_not_apply_until_it_is_restored(baskets: Baskets) -> None:
    member = await baskets.promos.platform.member()
    code = await baskets.code(percent(10), owner=member.id)
    await baskets.promos.apply(member.id, version=10, event=SUSPENDED)
    quote = await baskets.quote([line(1_000)], code)
    assert reason_of(quote.codes[0]) == "CODE_ON_HOLD"
    assert await reason(baskets.redeem([line(1_000)], code)) == "CODE_ON_HOLD"
    await baskets.promos.apply(member.id, version=11, event=RESTORED)
    await baskets.redeem([line(1_000)], code)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [line(1)] * 501}, "lines"),
        ({"lines": [line(-1)]}, "lines[0].unit_price_minor"),
        ({"lines": [line(10**10 + 1)]}, "lines[0].unit_price_minor"),
        ({"lines": [line(1, total_minor=-1)]}, "lines[0].total_minor"),
        ({"lines": [basket_pb2.BasketLine(unit_price_minor=1)]}, "lines[0]"),
        ({"lines": [basket_pb2.BasketLine(unit_price_minor=1, quantity=0)]}, "lines[0].quantity"),
        (
            {"lines": [basket_pb2.BasketLine(unit_price_minor=1, quantity_milli=-5)]},
            "lines[0].quantity_milli",
        ),
        ({"lines": [line(1, "x" * 65)]}, "lines[0].category"),
        ({"codes": []}, "codes"),
        ({"codes": ["A"] * 6}, "codes"),
        ({"codes": [""]}, "codes[0]"),
        ({"codes": ["A\0B"]}, "codes[0]"),
        ({"codes": ["A" * 65]}, "codes[0]"),
        ({"currency_code": "usd"}, "currency_code"),
        ({"currency_code": ""}, "currency_code"),
    ],
)
@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_bad_baskets_are_refused_with_the_field(
    baskets: Baskets, fields: dict[str, Any], field: str
) -> None:
    assert await field_refused(baskets.quote([line(1)], NOWHERE, **fields)) == field
    assert await field_refused(baskets.redeem([line(1)], NOWHERE, **fields)) == field


@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_other_currencies_and_huge_baskets_are_refused(baskets: Baskets) -> None:
    code = await baskets.code(percent(10))
    for call in (baskets.quote, baskets.redeem):
        name, status, metadata = await refusal(call([line(1)], code, currency_code="EUR"))
        assert (name, status) == ("CURRENCY_NOT_SUPPORTED", grpc.StatusCode.INVALID_ARGUMENT)
        assert metadata == {"currency_code": "EUR", "expected": "USD"}
        huge = basket_pb2.BasketLine(unit_price_minor=10**10, quantity=100_000)
        for lines in ([huge] * 500, [line(10**10)] * 11):
            name, status, metadata = await refusal(call(lines, code))
            assert (name, status) == ("RECEIPT_TOO_LARGE", grpc.StatusCode.INVALID_ARGUMENT)
            assert metadata == {"limit_minor": "100000000000"}
        largest = await baskets.quote([line(10**10)] * 10, code)
        assert largest.discount.amount_minor == 10**10
    assert await baskets.uses(code) == 0


@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_who_may_call(baskets: Baskets) -> None:
    platform = baskets.promos.platform
    for role in ("manager", "cashier", "admin"):
        code = await baskets.code(percent(10))
        token = await platform.token(role)
        assert (await baskets.quote([line(1_000)], code, token=token)).discount.amount_minor == 100
        assert (await baskets.redeem([line(1_000)], code, token=token)).discount.amount_minor == 100
    code = await baskets.code(percent(10))
    brand_manager, member = await platform.token("brand_manager"), await platform.token("member")
    assert await reason(baskets.quote([line(1)], code, token=brand_manager)) == "ROLE_NOT_ALLOWED"
    for token in (brand_manager, member):
        assert await reason(baskets.redeem([line(1_000)], code, token=token)) == "ROLE_NOT_ALLOWED"
    assert await baskets.uses(code) == 0


@pytest.mark.parametrize(("currency", "cents"), [("JPY", 1), ("KWD", 1_000)])
@pytest.mark.covers("C5 BasketService.QuoteBasket")
async def test_programmes_in_other_currencies_count_in_their_minor_units(
    baskets: Baskets, currency: str, cents: int
) -> None:
    benefit = amount(3 * cents, currency=currency, minimum_spend=10 * cents)
    code, tenth = await baskets.code(benefit), await baskets.code(percent(10))
    async with baskets.promos.another_process(currency=currency) as promos:
        other = Baskets(promos)
        basket = [line(5 * cents), line(5 * cents)]
        quote = await other.quote(basket, code, tenth, currency_code=currency)
        assert (quote.payable.currency_code, quote.payable.amount_minor) == (currency, 6 * cents)
        assert sum(one.payable_minor for one in quote.lines) == 6 * cents
        assert await reason(other.quote(basket, code)) == "CURRENCY_NOT_SUPPORTED"
