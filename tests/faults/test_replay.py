"""A day of receipts is sent in batches, some twice, while points is killed: every sale counts once."""

from __future__ import annotations

import asyncio

import pytest

from bench.replay import check_counted_once, day_of, replay
from tests import invariants
from tests.platform import Platform, unique

SALES, BATCH, MEMBERS = 4_000, 200, 20
LINES = 5


@pytest.mark.timeout(240)
async def test_a_day_replayed_in_batches_counts_every_sale_once(live: Platform, till: str) -> None:
    members = await live.members(MEMBERS)
    day = day_of([member.code for member in members], unique(), SALES)
    assert len(day.receipts) == 1.2 * SALES

    async def kill() -> None:
        pid = await live.kill("points")
        await asyncio.to_thread(live.stack.wait_restarted, "points", pid)

    await replay(live.http, till, day, kill, batch=BATCH)
    assert day.unanswered > 0, "nobody noticed"
    check_counted_once(live.databases["points"], day)
    first = dict(day.purchases)
    await replay(live.http, till, day, _nothing, batch=BATCH)
    assert day.purchases == first
    check_counted_once(live.databases["points"], day)
    earned = {member.code: 0 for member in members}
    for receipt in {one["receipt_number"]: one for one in day.receipts}.values():
        eligible = sum(
            int(line["unit_price_minor"]) * line["quantity"]
            for line in receipt["items"]
            if not line["alcohol"]
        )
        earned[receipt["member_code"]] += eligible // 1_000
    assert [await live.balance(member) for member in members] == list(earned.values())
    invariants.check(live.databases)
    lines = "SELECT count(*) AS lines FROM purchase_items i JOIN purchases p ON p.id = i.purchase_id"
    (counted,) = invariants.rows(
        live.databases["points"],
        f"{lines} WHERE p.receipt_number LIKE '{day.receipts[0]['receipt_number'][:-9]}-%'",
    )
    assert counted["lines"] == LINES * SALES


async def _nothing() -> None:
    """Nobody is killed."""
