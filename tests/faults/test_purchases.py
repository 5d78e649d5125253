"""Points may be killed again and again while tills send receipts: each receipt counts, and counts once."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest

from tests import invariants
from tests.faults.clients import Disturbed, answer
from tests.platform import MEMBERS_AT_ONCE, Member, Platform, at_once, limited, purchase

MEMBERS, RECEIPTS_EACH = 20, 20
RECEIPTS = MEMBERS * RECEIPTS_EACH
TILLS_AT_ONCE = 40
KILLED_AFTER = (RECEIPTS // 8, RECEIPTS // 3, 2 * RECEIPTS // 3)
CENTS, POINTS = 12_345, 12


async def _kill_now_and_then(live: Platform, name: str, seen: Disturbed) -> None:
    for count in KILLED_AFTER:
        await seen.until_answered(count)
        pid = await live.kill(name)
        await asyncio.to_thread(live.stack.wait_restarted, name, pid)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("killed", ["points", "postgres"])
async def test_every_receipt_counts_once(live: Platform, till: str, killed: str) -> None:
    members, seen = await live.members(MEMBERS), Disturbed()
    receipts = [purchase(member, CENTS) for member in members for _ in range(RECEIPTS_EACH)]

    async def send(receipt: dict[str, object]) -> httpx.Response:
        got = await answer(live, partial(live.call, "POST", "/v1/purchases", receipt, token=till), seen)
        assert got.status_code == httpx.codes.OK, got.text
        seen.note_answer()
        return got

    killing = asyncio.create_task(_kill_now_and_then(live, killed, seen))
    recorded = await limited(TILLS_AT_ONCE, [partial(send, receipt) for receipt in receipts])
    await killing
    assert seen.unanswered > 0, "nobody noticed"
    again = await limited(TILLS_AT_ONCE, [partial(send, receipt) for receipt in receipts])
    assert [got.content for got in again] == [got.content for got in recorded]
    _counted_once(live, [got.json()["purchase"]["id"] for got in recorded], members)
    balances = await at_once([live.balance(member) for member in members])
    assert balances == [POINTS * RECEIPTS_EACH] * MEMBERS
    invariants.check(live.databases)
    await limited(MEMBERS_AT_ONCE, [partial(_history_is_whole, live, member) for member in members])


def _counted_once(live: Platform, answered: list[str], members: list[Member]) -> None:
    """What tills got is what is kept, purchase by purchase."""
    assert len(set(answered)) == RECEIPTS
    ids = {member.id for member in members}
    rows = invariants.rows(live.databases["points"], "SELECT id, member_id FROM purchases")
    assert {str(row["id"]) for row in rows if str(row["member_id"]) in ids} == set(answered)


async def _history_is_whole(live: Platform, member: Member) -> None:
    entries = await live.ok("GET", "/v1/members/me/points/entries", token=member.token)
    assert [entry["sequence"] for entry in entries["entries"]] == [
        str(number) for number in range(RECEIPTS_EACH, 0, -1)
    ]
