"""What becomes of points and purchases when a member is suspended or closes the account."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from scrip.points.v1 import points_pb2

from services.common.db import Connection
from services.common.ids import new_id, utc_now
from services.common.members import Closed, Registered, Suspended
from services.points.members.member_codes import keep_member_codes
from services.points.tests.returns import claim_mine
from services.points.tests.support import Points, apply_event, item, receipt, sold
from tests.inprocess import Member, Platform, eventually, refusal


async def registered(points: Points, platform: Platform, earned: int = 0) -> Member:
    """Returns a member whose events points has, and who has earned so many points."""
    member = await platform.member()
    await eventually(lambda: heard(points, member.id, 2))
    if earned:
        await points.earn(member, earned)
    return member


async def heard(points: Points, member_id: UUID, version: int, status: str = "ACTIVE") -> None:
    query = "SELECT version, status FROM members WHERE member_id = %(id)s"
    assert await points.rows(query, id=member_id) == [(version, status)]


async def ledger(points: Points, member: Member) -> list[tuple[str, int, int, str]]:
    """Kind, delta, balance and reference of each movement, the first first."""
    rows = await points.rows(
        "SELECT kind, delta, balance_after, reference FROM ledger_entries WHERE member_id = %(id)s"
        " ORDER BY sequence",
        id=member.id,
    )
    return [(kind, delta, balance, reference) for kind, delta, balance, reference in rows]


async def test_closing_forfeits_all_points_by_an_entry_of_the_ledger(
    points: Points, platform: Platform
) -> None:
    member = await registered(points, platform, 70)
    await points.earn(member, 50)
    await points.debit(uuid4(), member, 20)
    assert await points.balance(member) == 100
    event_id = new_id()
    await points.send_event(member.id, 3, "CLOSED", event_id=event_id)
    assert await points.balance(member) == 0
    assert (await ledger(points, member))[-1] == ("FORFEIT", -100, 0, str(event_id))
    assert await points.lots(member) == [(70, 0), (50, 0)]
    await points.assert_balanced()
    shown = (await points.entries(member, kind=points_pb2.ENTRY_KIND_FORFEIT)).entries
    assert [(entry.delta, entry.balance_after, entry.sequence) for entry in shown] == [(-100, 0, 4)]


async def test_an_event_sent_fifty_times_at_once_forfeits_once(points: Points, platform: Platform) -> None:
    member = await registered(points, platform, 10)
    await asyncio.gather(*(points.send_event(member.id, 3, "CLOSED") for _ in range(50)))
    assert [entry[:3] for entry in await ledger(points, member)] == [("EARN", 10, 10), ("FORFEIT", -10, 0)]
    await points.assert_balanced()


async def test_one_who_never_earned_forfeits_nothing(points: Points, platform: Platform) -> None:
    member = await registered(points, platform)
    await points.send_event(member.id, 3, "CLOSED")
    assert await ledger(points, member) == []
    assert await points.rows("SELECT closed FROM accounts WHERE member_id = %(id)s", id=member.id) == [
        (True,)
    ]
    await points.assert_balanced()


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_events_are_applied_in_order_and_the_end_is_the_end(points: Points, platform: Platform) -> None:
    member = await registered(points, platform, 10)
    await points.send_event(member.id, 5, "SUSPENDED")
    for version, event in ((4, "CLOSED"), (5, "RESTORED"), (3, "RESTORED")):
        await points.send_event(member.id, version, event)
        await heard(points, member.id, 5, "SUSPENDED")
    assert await points.balance(member) == 10
    await points.send_event(member.id, 6, "RESTORED")
    await heard(points, member.id, 6, "ACTIVE")
    await points.send_event(member.id, 7, "CLOSED")
    await points.send_event(member.id, 8, "RESTORED")
    await heard(points, member.id, 7, "CLOSED")


async def test_other_events_leave_the_member_as_it_was(points: Points, platform: Platform) -> None:
    member = await registered(points, platform, 10)
    for version, event in ((3, "PHONE_CHANGED"), (4, "CONSENT_CHANGED")):
        await points.send_event(member.id, version, event)
    await heard(points, member.id, 4, "ACTIVE")
    kept = await points.rows("SELECT member_code FROM member_codes WHERE member_id = %(id)s", id=member.id)
    assert kept == [(member.code,)]
    await points.send_event(member.id, 5, "SUSPENDED")
    await points.send_event(member.id, 6, "CONSENT_CHANGED")
    await heard(points, member.id, 6, "SUSPENDED")


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_suspended_members_receipt_is_kept_without_a_member_though_identity_calls_it_active(
    points: Points, platform: Platform
) -> None:
    """Points was told of the suspension, and identity's answer is from before."""
    member = await registered(points, platform, 10)
    before = receipt(member.code)
    recorded = await points.record(before)
    await points.send_event(member.id, 3, "SUSPENDED")
    requests = [receipt(member.code), receipt(platform.signed_code(member), sold_at=sold(utc_now()))]
    for request in requests:
        kept = await points.record(request)
        assert kept.member_suspended
        assert not kept.HasField("balance_after")
        assert kept.claim.claim_code
        assert await points.record(request) == kept
    assert await points.record(before) == recorded, "a repetition still gets its answer"
    assert await points.balance(member) == 11
    await points.send_event(member.id, 4, "RESTORED")
    last = await points.record(receipt(member.code))
    assert (last.member_suspended, last.balance_after) == (False, 12)
    for request in requests:
        again = await points.record(request)
        assert again.member_suspended, "a repetition gets the first answer"
        claimed = await claim_mine(points, member, again.claim.claim_code)
        assert claimed.purchase.points == 1
    assert await points.balance(member) == 14
    await points.assert_balanced()


async def test_a_code_that_is_kept_amid_the_suspension_does_not_stay(platform: Platform) -> None:
    """Identity resolved the code, and the event comes before the code is committed."""
    member_id, code, database = new_id(), uuid4().hex.upper(), platform.databases["points"]
    await database.run(apply_event, Registered, member_id, 1)
    kept, done = asyncio.Event(), asyncio.Event()

    async def keep(connection: Connection) -> None:
        await keep_member_codes(connection, {code: member_id})
        kept.set()
        await asyncio.sleep(0.3)
        assert not done.is_set(), "the event did not wait"

    async def suspend() -> None:
        await kept.wait()
        await database.run(apply_event, Suspended, member_id, 3)
        done.set()

    await asyncio.gather(database.run(keep), suspend())
    assert await codes_of(platform, member_id) == []


async def test_a_code_that_comes_after_the_suspension_is_not_kept(platform: Platform) -> None:
    member_id, code, database = new_id(), uuid4().hex.upper(), platform.databases["points"]
    await database.run(apply_event, Registered, member_id, 1)
    applied = asyncio.Event()

    async def suspend(connection: Connection) -> None:
        await apply_event(connection, Suspended, member_id, 3)
        applied.set()
        await asyncio.sleep(0.3)

    async def keep() -> None:
        await applied.wait()
        await database.run(keep_member_codes, {code: member_id})

    await asyncio.gather(database.run(suspend), keep())
    assert await codes_of(platform, member_id) == []


async def codes_of(platform: Platform, member_id: UUID) -> list[str]:
    rows = await Points(platform, "", "").rows(
        "SELECT member_code FROM member_codes WHERE member_id = %(id)s", id=member_id
    )
    return [code for (code,) in rows]


async def test_a_purchase_amid_the_closing_is_refused_and_its_neighbours_are_not(
    points: Points, platform: Platform
) -> None:
    """The purchase has found the code before the event drops it, and then waits for the account."""
    leaving, staying = await registered(points, platform, 30), await registered(points, platform, 30)
    closing = asyncio.Event()

    async def close(connection: Connection) -> None:
        await apply_event(connection, Closed, leaving.id, 3)
        closing.set()
        await asyncio.sleep(0.5)

    async def buy(member: Member) -> str:
        await closing.wait()
        try:
            await points.record(receipt(member.code, item(7_000)))
        except Exception as error:  # noqa: BLE001  # told apart below
            return str(error)
        return "recorded"

    results = await asyncio.gather(
        platform.databases["points"].run(close), buy(leaving), *(buy(staying) for _ in range(5)), buy(leaving)
    )
    assert results[2:7] == ["recorded"] * 5
    assert all("no member has this code" in str(result) for result in (results[1], results[7]))
    assert await points.rows("SELECT balance FROM accounts WHERE member_id = %(id)s", id=leaving.id) == [(0,)]
    assert await points.balance(staying) == 65
    await points.assert_balanced()


async def test_purchases_debits_undos_and_closing_at_once_leave_an_empty_account(
    points: Points, platform: Platform
) -> None:
    for _ in range(5):
        member, orders = await registered(points, platform, 100), [uuid4() for _ in range(10)]
        for order in orders[:5]:
            await points.debit(order, member, 10)
        calls = [
            *(points.record(receipt(member.code, item(5_000))) for _ in range(20)),
            *(points.undo(order, member) for order in orders[:5]),
            points.send_event(member.id, 3, "CLOSED"),
            *(points.debit(order, member, 10) for order in orders[5:]),
            *(points.record(receipt(member.code, item(5_000))) for _ in range(20)),
        ]
        await asyncio.gather(*calls, return_exceptions=True)
        query = "SELECT balance, closed FROM accounts WHERE member_id = %(id)s"
        assert await points.rows(query, id=member.id) == [(0, True)]
        assert {left for _, left in await points.lots(member)} == {0}
        await points.assert_balanced()


async def test_what_is_given_back_after_the_closing_is_forfeited_too(
    points: Points, platform: Platform
) -> None:
    member, order = await registered(points, platform, 120), uuid4()
    await points.debit(order, member, 50)
    await points.send_event(member.id, 3, "CLOSED")
    for _ in range(3):
        await points.undo(order, member)
    assert [entry[:3] for entry in await ledger(points, member)] == [
        ("EARN", 120, 120),
        ("SPEND", -50, 70),
        ("FORFEIT", -70, 0),
        ("SPEND_UNDONE", 50, 50),
        ("FORFEIT", -50, 0),
    ]
    assert (await ledger(points, member))[-1][3] == str(order)
    assert await points.balance(member) == 0
    await points.assert_balanced()


async def test_an_open_order_is_debited_by_the_usual_rules(points: Points, platform: Platform) -> None:
    member, paid, late = await registered(points, platform, 50), uuid4(), uuid4()
    assert await points.debit(paid, member, 20) == 30
    await points.send_event(member.id, 3, "CLOSED")
    assert await points.debit(paid, member, 20) == 30, "a repetition gets the first answer"
    name, _, metadata = await refusal(points.debit(late, member, 20))
    assert (name, metadata) == ("INSUFFICIENT_POINTS", {"required": "20", "available": "0"})
