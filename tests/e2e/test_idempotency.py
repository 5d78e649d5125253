"""INV3 over REST: one key, at most one effect, and the same response to everybody who sends it."""

from __future__ import annotations

import pytest

from tests import invariants
from tests.platform import Member, Platform, at_once, purchase, refusal, unique


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_the_same_receipt_100_times_at_once_counts_once(
    live: Platform, member: Member, till: str
) -> None:
    receipt = purchase(member, 62_000)
    answers = await at_once([live.call("POST", "/v1/purchases", receipt, token=till) for _ in range(100)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["purchase"]["points"] == answers[0].json()["balance_after"] == 62
    assert await live.balance(member) == 62
    purchases = await live.ok("GET", "/v1/members/me/purchases", token=member.token)
    assert len(purchases["purchases"]) == 1
    invariants.check_ledger(live.databases["points"])


async def test_one_receipt_with_two_contents_at_once_counts_as_one_of_them(
    live: Platform, member: Member, till: str
) -> None:
    number = unique()
    receipts = [purchase(member, cents, number) for cents in (10_000, 20_000)]
    answers = await at_once(
        [live.call("POST", "/v1/purchases", receipts[n % 2], token=till) for n in range(60)]
    )
    recorded = {answer.content for answer in answers if answer.status_code == 200}
    assert len(recorded) == 1
    reasons = {refusal(answer).reason for answer in answers if answer.status_code != 200}
    assert reasons == {"RECEIPT_CONFLICT"}
    assert sum(answer.status_code == 200 for answer in answers) == 30
    assert await live.balance(member) in (10, 20)


async def test_the_same_order_50_times_at_once_is_one_order(
    live: Platform, member: Member, till: str
) -> None:
    voucher, key = await live.voucher(50), unique()
    await live.give(till, member, 1_000)
    answers = await at_once([live.order(member, voucher, key) for _ in range(50)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["order"]["state"] == "ORDER_STATE_COMPLETED"
    assert await live.balance(member) == 500
    wallet = await live.ok("GET", "/v1/members/me/vouchers", token=member.token)
    assert len(wallet["vouchers"]) == 1
    offer = await live.ok("GET", f"/v1/offers/{voucher}", token=member.token)
    assert offer["offer"]["quantity_left"] == 49


async def test_the_same_order_without_points_is_refused_alike_each_time(
    live: Platform, member: Member
) -> None:
    voucher, key = await live.voucher(1), unique()
    refusals = [refusal(a) for a in await at_once([live.order(member, voucher, key) for _ in range(20)])]
    refusals.append(refusal(await live.order(member, voucher, key)))
    assert all(refused.body == refusals[0].body for refused in refusals)
    assert refusals[0].reason == "INSUFFICIENT_POINTS"
    orders = await live.ok("GET", "/v1/members/me/orders", token=member.token)
    assert [order["state"] for order in orders["orders"]] == ["ORDER_STATE_FAILED"]


async def test_a_sale_redeems_a_code_once_however_often_it_is_sent(
    live: Platform, member: Member, till: str
) -> None:
    await live.give(till, member, 500)
    code = (await live.bought(member, await live.voucher(1)))["code"]
    sales = [{"code": code, "sale_reference": unique()} for _ in range(5)]
    answers = await at_once(
        [live.call("POST", "/v1/codes:redeem", sales[n % 5], token=till) for n in range(50)]
    )
    redeemed = [answer for answer in answers if answer.status_code == 200]
    assert len(redeemed) == 10
    assert len({answer.content for answer in redeemed}) == 1
    refused = {refusal(answer).reason for answer in answers if answer.status_code != 200}
    assert refused == {"CODE_ALREADY_USED"}
    invariants.check_codes(live.databases["promos"])


async def test_staff_who_send_a_voucher_twice_make_one(live: Platform) -> None:
    key = unique()
    wanted = {
        "title": f"Coupon {key}",
        "face_value": {"currency_code": "USD", "amount_minor": "500"},
        "price_points": 500,
        "quantity": 10,
    }
    answers = await at_once(
        [live.call("POST", "/v1/vouchers", wanted, token=live.admin, key=key) for _ in range(20)]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    made = invariants.rows(
        live.databases["vouchers"], f"SELECT id FROM vouchers WHERE title = 'Coupon {key}'"
    )
    assert len(made) == 1
