"""Vouchers for money of an earlier version: what was paid is there, and what waited goes on."""

from __future__ import annotations

from typing import Any

from tests.platform import eventually, unique
from tests.upgrades.upgraded import REST_SECONDS, Upgraded
from tests.upgrades.vouchers_story import ORDERS, PAID_MINOR, card

Known = dict[str, str]


async def _until(upgraded: Upgraded, path: str, token: str, state: str) -> Any:
    async def reached() -> Any:
        (one,) = (await upgraded.live.ok("GET", path, token=token)).values()
        assert one["state"] == state
        return one

    return await eventually(reached, REST_SECONDS)


async def test_a_bought_code_is_good_and_that_of_a_refunded_order_is_not(
    upgraded: Upgraded, vouchers: Known
) -> None:
    live, till = upgraded.live, upgraded.tokens["till"]
    sale = {"code": vouchers["void_code"], "sale_reference": unique()}
    assert (await live.refused("POST", "/v1/codes:redeem", sale, token=till)).reason == "CODE_VOID"
    sale = {"code": vouchers["code"], "sale_reference": unique()}
    await live.ok("POST", "/v1/codes:redeem", sale, token=till)
    path = f"/v1/orders/{vouchers['mine_order']}:refund"
    refused = await live.refused("POST", path, {"note": "Too late"}, token=live.admin, key=unique())
    assert refused.reason == "ORDER_CODES_USED"


async def test_a_gift_that_waited_is_found_by_who_registers(upgraded: Upgraded, vouchers: Known) -> None:
    live = upgraded.live
    grace = await live.member(await live.otp(vouchers["offered_phone"]))

    async def found() -> str:
        gifts = (await live.ok("GET", "/v1/members/me/gifts", token=grace.token))["gifts"]
        assert [one["message"] for one in gifts] == ["Happy birthday!"]
        return str(gifts[0]["id"])

    gift = f"/v1/members/me/gifts/{await eventually(found, REST_SECONDS)}"
    await live.ok("POST", f"{gift}:accept", {}, token=grace.token)
    accepted = await _until(upgraded, gift, grace.token, "GIFT_STATE_ACCEPTED")
    path = f"/v1/members/me/vouchers/{accepted['wallet_voucher_id']}"
    code = (await live.ok("GET", path, token=grace.token))["voucher"]["code"]
    sale = {"code": code, "sale_reference": unique()}
    await live.ok("POST", "/v1/codes:redeem", sale, token=upgraded.tokens["till"])


async def test_a_quote_binds_though_the_price_has_changed(upgraded: Upgraded, vouchers: Known) -> None:
    live, token = upgraded.live, upgraded.tokens["buyer"]
    assert vouchers["quoted_minor"] == str(PAID_MINOR)
    body = {"voucher_id": vouchers["voucher"], "quote_id": vouchers["quote"], "card": card()}
    key = unique()
    order = (await live.ok("POST", ORDERS, body, token=token, key=key))["order"]
    assert order["price"]["amount_minor"] == vouchers["quoted_minor"]
    await _until(upgraded, f"{ORDERS}/{order['id']}", token, "ORDER_STATE_COMPLETED")


async def test_an_order_that_awaited_its_payment_goes_on(upgraded: Upgraded, vouchers: Known) -> None:
    live, token = upgraded.live, upgraded.tokens["buyer"]
    path = f"{ORDERS}/{vouchers['waiting']}"
    await _until(upgraded, path, token, "ORDER_STATE_COMPLETED")
    paid = await live.ok("GET", f"/v1/sandbox-payments/{vouchers['waiting']}")
    assert paid["payment"]["state"] == "PAYMENT_STATE_CAPTURED"
