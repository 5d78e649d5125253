"""Any process may be killed in the middle of 200 orders: each order ends, and every book agrees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests import invariants
from tests.faults.clients import Disturbed, GaveUpError, answer
from tests.platform import MEMBERS_AT_ONCE, Member, Platform, at_once, eventually, limited, refusal, unique

MEMBERS, ORDERS_EACH = 50, 4
PRICE, LEFT_OVER = 500, 7
STOCK = MEMBERS * ORDERS_EACH
FINISHED_SECONDS = 30.0
GIVES_UP = 5
"""Every fifth caller goes away when its first try got no response."""
OPEN = "SELECT id, state FROM orders WHERE state IN ('PENDING', 'UNDOING')"
KILLED = (
    "identity",
    "points",
    "vouchers",
    "promos",
    "identity-worker",
    "vouchers-worker",
    "promos-worker",
    "postgres",
)


@dataclass
class Wish:
    """An order that a member wants, and the last response about it."""

    member: Member
    voucher_id: str
    key: str
    patient: bool
    last: httpx.Response | None = None

    async def ask(self, live: Platform, seen: Disturbed, *, patient: bool) -> None:
        """Places the order, and asks again until it has ended."""
        place = partial(live.order, self.member, self.voucher_id, self.key)
        while True:
            self.last = await answer(live, place, seen, patient=patient)
            if not _is_open(self.last):
                return seen.note_answer()
            await asyncio.sleep(0.5)


def _is_open(got: httpx.Response) -> bool:
    states = ("ORDER_STATE_PENDING", "ORDER_STATE_UNDOING")
    return got.status_code == httpx.codes.OK and got.json()["order"]["state"] in states


def _can_pay(nth: int) -> int:
    """Returns how many of its orders the nth member has the points for."""
    return nth % (ORDERS_EACH + 1)


@pytest_asyncio.fixture(scope="module")
async def members(live: Platform, till: str) -> list[Member]:
    """Members who have a few points that buy nothing, and are left with them by each test."""
    made = await live.members(MEMBERS)
    await limited(MEMBERS_AT_ONCE, [partial(live.give, till, one, LEFT_OVER) for one in made])
    return made


async def _place_all(live: Platform, wishes: Sequence[Wish], seen: Disturbed) -> None:
    async def one(wish: Wish) -> None:
        try:
            await wish.ask(live, seen, patient=wish.patient)
        except GaveUpError:
            seen.note_answer()

    await at_once([one(wish) for wish in wishes])


async def _all_finished(live: Platform) -> None:
    assert invariants.rows(live.databases["vouchers"], OPEN) == []


def _agree(live: Platform, wishes: Sequence[Wish]) -> None:
    """What each caller got is what the database has."""
    query = "SELECT id, idempotency_key AS key, state, failure_reason FROM orders"
    kept: dict[str, dict[str, Any]] = {
        row["key"]: row for row in invariants.rows(live.databases["vouchers"], query)
    }
    for wish in wishes:
        got, row = _last(wish), kept[wish.key]
        if got.status_code == httpx.codes.OK:
            order = got.json()["order"]
            assert order["state"] == "ORDER_STATE_COMPLETED", order
            assert (row["state"], str(row["id"])) == ("COMPLETED", order["id"])
        else:
            refused = refusal(got)
            assert refused.reason == "INSUFFICIENT_POINTS", refused.body
            assert (row["state"], row["failure_reason"]) == ("FAILED", "INSUFFICIENT_POINTS")
            assert str(row["id"]) == refused.metadata["order_id"]


@pytest.mark.covers("V3 OrderService.PlaceOrder")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("killed", KILLED)
async def test_every_order_ends_and_every_book_agrees(
    live: Platform, till: str, members: list[Member], killed: str
) -> None:
    points = [partial(live.give, till, one, _can_pay(nth) * PRICE) for nth, one in enumerate(members)]
    await limited(MEMBERS_AT_ONCE, points)
    voucher, of_a_worker, seen = await live.voucher(STOCK), killed.endswith("-worker"), Disturbed()
    wishes = [
        Wish(member, voucher, unique(), patient=(n + place) % GIVES_UP != 0)
        for place in range(ORDERS_EACH)
        for n, member in enumerate(members)
    ]
    placing = asyncio.create_task(_place_all(live, wishes, seen))
    # A worker has most to do when the codes of a new voucher are to be made.
    await seen.until_answered(0 if of_a_worker else len(wishes) // 5)
    pid = live.stack.kill(killed)
    died = time.monotonic()
    assert seen.answered < len(wishes) * 3 // 4, "that was not the middle"
    await placing
    await eventually(partial(_all_finished, live), FINISHED_SECONDS - (time.monotonic() - died))
    await asyncio.to_thread(live.stack.wait_restarted, killed, pid)

    # Those who went away come back; everybody else asks once more.
    told = {wish.key: wish.last for wish in wishes}
    await at_once([wish.ask(live, seen, patient=True) for wish in wishes])
    for wish in wishes:
        before = told[wish.key]
        assert before is None or _is_open(before) or before.json() == _last(wish).json()
    _agree(live, wishes)
    _everybody_has_what_it_paid_for(wishes, members)
    balances = await limited(MEMBERS_AT_ONCE, [partial(live.balance, member) for member in members])
    assert balances == [LEFT_OVER] * MEMBERS
    if of_a_worker:
        await live.at_rest(FINISHED_SECONDS)
    invariants.check(live.databases)


def _last(wish: Wish) -> httpx.Response:
    assert wish.last is not None
    return wish.last


def _everybody_has_what_it_paid_for(wishes: Sequence[Wish], members: Sequence[Member]) -> None:
    """Each member got as many as it had the points for."""
    got = {member.id: 0 for member in members}
    for wish in wishes:
        got[wish.member.id] += _last(wish).status_code == httpx.codes.OK
    assert list(got.values()) == [_can_pay(nth) for nth in range(MEMBERS)]
