"""Over REST: a basket is quoted in the app, redeemed at the till, and bought."""

from __future__ import annotations

from typing import Any

import pytest

from tests import invariants
from tests.e2e.points import line, record, sale
from tests.platform import Member, Platform, unique

BASKET = [
    {"sku": "30", "category": "cheese", "unit_price_minor": "1999", "quantity_milli": 345},
    {"sku": "31", "category": "bakery", "unit_price_minor": "500", "quantity": 3, "total_minor": "1000"},
]


def basket(*codes: str, **fields: Any) -> dict[str, Any]:
    """Returns a basket of 6.90 and 10.00 with codes."""
    return {"lines": BASKET, "currency_code": "USD", "codes": codes} | fields


@pytest.mark.covers("C5 BasketService.QuoteBasket", "C5 BasketService.RedeemBasket")
async def test_a_basket_is_quoted_redeemed_and_bought(live: Platform, member: Member, till: str) -> None:
    campaign_id = await live.campaign(1)
    winner = await live.member()
    thirty = next(one["code"] for one in await live.rewards(winner) if one["campaign_id"] == campaign_id)
    await live.give(till, winner, 1_000)
    five = (await live.bought(winner, await live.voucher(1)))["code"]

    quote = await live.ok("POST", "/v1/baskets:quote", basket(five, thirty), token=winner.token)
    # 30 % of 16.90 are 5.07; then 5.00 off the 11.83 that are left.
    assert [code["discount_minor"] for code in quote["codes"]] == ["500", "507"]
    assert quote["payable"] == {"currency_code": "USD", "amount_minor": "683"}
    assert [one["payable_minor"] for one in quote["lines"]] == ["279", "404"]
    stranger = await live.ok("POST", "/v1/baskets:quote", basket(thirty), token=member.token)
    [refused] = stranger["codes"]
    assert refused["refused"]["details"][0]["reason"] == "CODE_NOT_VALID"
    assert (refused["code_id"], "discount_minor" in refused) == ("", False)

    number = unique()
    body = basket(five, thirty, member_code=winner.code, sale_reference=number)
    redeemed = await live.ok("POST", "/v1/baskets:redeem", body, token=till)
    assert (redeemed["lines"], redeemed["payable"]) == (quote["lines"], quote["payable"])
    assert await live.ok("POST", "/v1/baskets:redeem", body, token=till) == redeemed
    conflict = await live.refused("POST", "/v1/baskets:redeem", body | {"codes": [thirty]}, token=till)
    assert (conflict.status, conflict.reason) == (409, "REDEMPTION_CONFLICT")
    used = await live.refused("POST", "/v1/baskets:redeem", body | {"sale_reference": unique()}, token=till)
    assert (used.status, used.reason) == (400, "CODE_ALREADY_USED")

    lines = [
        line(int(one["total_minor"]), 1) | {"total_minor": one["payable_minor"]} for one in redeemed["lines"]
    ]
    ids = [one["redemption_id"] for one in redeemed["codes"]]
    receipt = sale(winner, *lines) | {"receipt_number": number, "redemption_ids": ids}
    bought = await record(live, till, receipt)
    assert bought["purchase"]["redemption_ids"] == ids
    assert bought["purchase"]["total"]["amount_minor"] == "683"
    invariants.check(live.databases)


@pytest.mark.covers("C5 BasketService.QuoteBasket")
@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"lines": []}, 400, "VALIDATION_FAILED"),
        ({"lines": BASKET * 251}, 400, "VALIDATION_FAILED"),
        ({"codes": []}, 400, "VALIDATION_FAILED"),
        ({"currency_code": "EUR"}, 400, "CURRENCY_NOT_SUPPORTED"),
        ({"lines": [BASKET[0] | {"unit_price_minor": "-1"}]}, 400, "VALIDATION_FAILED"),
    ],
)
async def test_bad_baskets_are_refused(
    live: Platform, till: str, fields: dict[str, Any], status: int, reason: str
) -> None:
    for path, more in (("/v1/baskets:quote", {}), ("/v1/baskets:redeem", {"sale_reference": unique()})):
        refused = await live.refused("POST", path, basket("X" * 12) | fields | more, token=till)
        assert (refused.status, refused.reason) == (status, reason)


async def test_codes_that_are_no_text_are_refused(live: Platform, till: str) -> None:
    for codes in ([{"code": "x"}], {"code": "x"}):
        answer = await live.call("POST", "/v1/baskets:quote", basket() | {"codes": codes}, token=till)
        assert answer.status_code == 400
