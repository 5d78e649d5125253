"""Points expire a year after they were earned, at a day's end; everybody sees what and when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests import invariants
from tests.e2e.points import TIME_ZONE, adjust, entries, line, record, refund, refunded, sale
from tests.platform import Member, Platform, eventually

MINE = "/v1/members/me/points/expiries"
WORKER_SECONDS = 20.0


def _a_year_from_now() -> datetime:
    """Returns the end of this day of next year, in the programme's time zone."""
    today = datetime.now(ZoneInfo(TIME_ZONE)).date()
    leap_day = (today.month, today.day) == (2, 29)
    last = today.replace(year=today.year + 1, **({"day": 28} if leap_day else {}))
    return datetime.combine(last + timedelta(days=1), time(), ZoneInfo(TIME_ZONE)).astimezone(UTC)


def _shift(live: Platform, member: Member, *days: float) -> list[datetime]:
    """Lets the member's lots, the oldest first, expire so many days from now instead."""
    with psycopg.connect(live.databases["points"]) as connection:
        lots = connection.execute(
            "SELECT id FROM lots WHERE member_id = %s ORDER BY id", (member.id,)
        ).fetchall()
        moments = []
        for (lot,), later in zip(lots, days, strict=True):
            moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=later)
            moments.append(moment)
            connection.execute(
                "UPDATE lots SET expires_at = %s WHERE member_id = %s AND id = %s", (moment, member.id, lot)
            )
    return moments


async def _expiries(live: Platform, member: Member, query: str = "") -> list[tuple[datetime, int]]:
    told = await live.ok("GET", f"{MINE}?{query}", token=member.token)
    return [(datetime.fromisoformat(one["expires_at"]), one["points"]) for one in told["expiries"]]


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_points_expire_at_a_days_end_in_the_programmes_time_zone(
    live: Platform, member: Member, till: str
) -> None:
    before = _a_year_from_now()
    await record(live, till, sale(member, line(10_000)))
    await record(live, till, sale(member, line(5_000)))
    found = await _expiries(live, member)
    assert sum(points for _, points in found) == 15
    assert {moment for moment, _ in found} <= {before, _a_year_from_now()}
    assert {moment.astimezone(ZoneInfo(TIME_ZONE)).time() for moment, _ in found} == {time()}


@pytest.mark.covers("P7 PointsAdminService.ListMemberExpiries", "P7 PointsService.ListMyExpiries")
async def test_spending_takes_the_oldest_and_staff_see_what_is_left(
    live: Platform, member: Member, till: str
) -> None:
    for _ in range(3):
        await record(live, till, sale(member, line(100_000)))
    first, second, third = _shift(live, member, 10, 20, 30)
    assert await _expiries(live, member) == [(first, 100), (second, 100), (third, 100)]
    await live.bought(member, await live.voucher(1, points=150))
    assert await _expiries(live, member) == [(second, 50), (third, 100)]
    page = await live.ok("GET", f"{MINE}?page_size=1", token=member.token)
    rest = await _expiries(live, member, f"page_size=1&page_token={page['next_page_token']}")
    assert rest == [(third, 100)]
    seen = await live.ok("GET", f"/v1/members/{member.id}/points/expiries", token=live.admin)
    mine = await live.ok("GET", MINE, token=member.token)
    assert seen == mine


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_what_is_due_is_taken_once_though_the_worker_is_killed(
    live: Platform, member: Member, till: str
) -> None:
    bought = [await record(live, till, sale(member, line(100_000))) for _ in range(2)]
    due, later = _shift(live, member, -1, 20)
    await live.kill("points-worker")

    async def taken() -> None:
        assert await live.balance(member) == 100

    await eventually(taken, WORKER_SECONDS)
    newest = (await entries(live, member))[0]
    assert (newest["kind"], newest["delta"], newest["balance_after"]) == ("ENTRY_KIND_EXPIRE", -100, 100)
    assert datetime.fromisoformat(newest["expired_at"]) == due
    assert await _expiries(live, member) == [(later, 100)]
    # Goods of the purchase whose points are gone take nothing of the others'.
    answer: Any = await refunded(live, till, bought[0]["purchase"]["id"], refund())
    told = [answer["refund"][f"points{which}"] for which in ("", "_taken", "_owed", "_expired", "_waived")]
    assert told == [100, 0, 0, 100, 0]
    assert await live.balance(member) == 100
    await live.kill("points-worker")
    await adjust(live, member, 1)
    assert len(await entries(live, member, "kind=ENTRY_KIND_EXPIRE")) == 1
    invariants.check_ledger(live.databases["points"])
    invariants.check_movements(live.databases["points"])
