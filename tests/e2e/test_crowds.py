"""Limited things under a crowd: exactly as many as there are, and every book agrees afterwards."""

from __future__ import annotations

from functools import partial

import pytest_asyncio

from tests import invariants
from tests.platform import (
    MEMBERS_AT_ONCE,
    Member,
    Platform,
    at_once,
    eventually,
    limited,
    refusal,
)

MEMBERS, COUPONS = 200, 50
ARRIVALS, PLACES = 150, 100
VISIBLE_SECONDS = 10.0


@pytest_asyncio.fixture(scope="module")
async def crowd(live: Platform, till: str) -> list[Member]:
    """200 members, each with the points for one coupon and a few left over."""
    members = await live.members(MEMBERS)
    await limited(MEMBERS_AT_ONCE, [partial(live.give, till, m, 507) for m in members])
    return members


async def test_200_members_for_50_coupons_get_exactly_50(live: Platform, crowd: list[Member]) -> None:
    voucher = await live.voucher(COUPONS)
    answers = await at_once([live.order(member, voucher) for member in crowd])
    winners = [m for m, answer in zip(crowd, answers, strict=True) if answer.status_code == 200]
    orders = [answer.json()["order"] for answer in answers if answer.status_code == 200]
    assert len(orders) == COUPONS
    assert {order["state"] for order in orders} == {"ORDER_STATE_COMPLETED"}
    reasons = {refusal(answer).reason for answer in answers if answer.status_code != 200}
    assert reasons == {"SOLD_OUT"}

    balances = await limited(MEMBERS_AT_ONCE, [partial(live.balance, m) for m in crowd])
    assert balances == [7 if member in winners else 507 for member in crowd]
    wallets = [await live.ok("GET", "/v1/members/me/vouchers", token=m.token) for m in winners]
    codes = [owned["code"] for wallet in wallets for owned in wallet["vouchers"]]
    assert len(codes) == len(set(codes)) == COUPONS
    offer = await live.ok("GET", f"/v1/offers/{voucher}", token=crowd[0].token)
    assert offer["offer"]["quantity_left"] == 0
    invariants.check(live.databases)


async def test_what_nobody_can_pay_is_still_there_for_the_last(
    live: Platform, crowd: list[Member], till: str
) -> None:
    """Orders that fail give their piece back: 30 who cannot pay do not keep it from one who can."""
    voucher, poor = await live.voucher(1, points=10_000), crowd[:30]
    answers = await at_once([live.order(member, voucher) for member in poor])
    reasons = {refusal(answer).reason for answer in answers}
    assert reasons <= {"INSUFFICIENT_POINTS", "SOLD_OUT"}
    rich = await live.member()
    await live.give(till, rich, 10_000)
    # An order may still be under way whose answer said that it is.
    await eventually(partial(live.bought, rich, voucher), 3)
    invariants.check(live.databases)


async def test_150_first_logins_for_100_places_give_exactly_100(live: Platform) -> None:
    otps = await limited(MEMBERS_AT_ONCE, [live.otp for _ in range(ARRIVALS)])
    campaign = await live.campaign(PLACES)
    members = await at_once([live.member(otp) for otp in otps])

    async def all_heard() -> None:
        heard = invariants.rows(
            live.databases["promos"], "SELECT member_id FROM members WHERE first_login_at IS NOT NULL"
        )
        assert {member.id for member in members} <= {str(row["member_id"]) for row in heard}

    await eventually(all_heard, VISIBLE_SECONDS)
    winners = await live.winners(campaign)
    assert [winner["rank"] for winner in winners] == list(range(1, PLACES + 1))
    ranks = {winner["member_id"]: winner["rank"] for winner in winners}
    assert len(ranks) == PLACES
    assert set(ranks) <= {member.id for member in members}
    invariants.check_campaigns(live.databases["promos"])

    async def shown(member: Member) -> int | None:
        mine = await live.ok("GET", "/v1/members/me/rewards", token=member.token)
        found = [p["rank"] for p in mine["rewards"] if p["campaign_id"] == campaign]
        assert len(found) <= 1
        return found[0] if found else None

    seen = await limited(MEMBERS_AT_ONCE, [partial(shown, m) for m in members])
    assert seen == [ranks.get(member.id) for member in members]
    left = await live.ok("GET", f"/v1/campaigns/{campaign}", token=live.admin)
    assert left["campaign"]["places_left"] == 0


async def test_one_members_orders_never_spend_a_point_twice(
    live: Platform, member: Member, till: str
) -> None:
    voucher = await live.voucher(60)
    await live.give(till, member, 5 * 500 + 499)
    answers = await at_once([live.order(member, voucher) for _ in range(60)])
    assert sum(answer.status_code == 200 for answer in answers) == 5
    reasons = {refusal(answer).reason for answer in answers if answer.status_code != 200}
    assert reasons <= {"INSUFFICIENT_POINTS", "SOLD_OUT"}
    assert await live.balance(member) == 499
    invariants.check(live.databases)
