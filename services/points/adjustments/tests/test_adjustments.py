"""Staff give members points, or take some."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from scrip.points.v1 import admin_pb2, points_pb2, purchase_pb2, purchase_pb2_grpc

from services.common import db
from services.common.db import Connection
from services.common.ids import new_id
from services.common.members import Closed
from services.points.tests.manager import Manager, faulty_fields
from services.points.tests.own_service import own_service
from services.points.tests.support import Points, apply_event
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal

ADJUST = points_pb2.ENTRY_KIND_ADJUST


@pytest.fixture
async def manager(points: Points, platform: Platform) -> Manager:
    """A manager."""
    return Manager(points, await platform.token("manager"))


@pytest.fixture
async def member(points: Points, platform: Platform) -> Member:
    """A member that points knows."""
    return await heard_member(points, platform)


async def heard_member(points: Points, platform: Platform, earned: int = 0) -> Member:
    made = await platform.member()

    async def known() -> None:
        assert await points.rows("SELECT version FROM members WHERE member_id = %(id)s", id=made.id) == [(2,)]

    await eventually(known)
    if earned:
        await points.earn(made, earned)
    return made


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_points_that_are_given_are_seen_at_once_with_the_reason(
    points: Points, manager: Manager, member: Member
) -> None:
    assert await points.balance(member) == 0
    given = await manager.adjust(member.id, 250, "Sorry for the queue")
    assert await points.balance(member) == 250
    [entry] = (await points.entries(member)).entries
    assert entry == given.entry
    assert (entry.kind, entry.delta, entry.balance_after, entry.sequence) == (ADJUST, 250, 250, 1)
    assert entry.reason == "Sorry for the queue"
    assert UUID(entry.adjustment_id) != member.id
    assert given.debt == 0
    assert await points.lots(member) == [(250, 250)]
    assert await points.debit(uuid4(), member, 250) == 0
    await points.assert_balanced()


async def test_points_are_taken_out_of_the_oldest_lots(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform, 70)
    await points.earn(member, 50)
    taken = await manager.adjust(member.id, -100, "Recorded for the wrong member")
    assert (taken.entry.delta, taken.entry.balance_after) == (-100, 20)
    assert await points.balance(member) == 20
    assert await points.lots(member) == [(70, 0), (50, 20)]
    await manager.adjust(member.id, -20)
    assert await points.balance(member) == 0
    await points.assert_balanced()


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_more_than_there_is_can_not_be_taken(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform, 70)
    name, _, metadata = await refusal(manager.adjust(member.id, -71))
    assert (name, metadata) == ("INSUFFICIENT_POINTS", {"required": "71", "available": "70"})
    assert await points.balance(member) == 70
    never_earned = await heard_member(points, platform)
    assert await reason(manager.adjust(never_earned.id, -1)) == "INSUFFICIENT_POINTS"
    await points.assert_balanced()


async def test_a_debt_is_paid_first(points: Points, manager: Manager, platform: Platform) -> None:
    member = await heard_member(points, platform)
    bought = await points.earn(member, 30)
    await points.debit(uuid4(), member, 30)
    tills = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    back = purchase_pb2.RefundPurchaseRequest(purchase_id=bought.purchase.id, refund_number="F-1")
    await tills.RefundPurchase(back, metadata=bearer(points.till))
    first = await manager.adjust(member.id, 20)
    assert (first.entry.delta, first.entry.debt_delta, first.debt) == (0, -20, 10)
    second = await manager.adjust(member.id, 15)
    assert (second.entry.delta, second.entry.debt_delta, second.debt) == (5, -10, 0)
    assert await points.balance(member) == 5
    assert await points.lots(member) == [(30, 0), (5, 5)]
    await points.assert_balanced()


async def test_points_that_are_given_expire_like_others(platform: Platform) -> None:
    async with own_service(platform, expire_months=12) as own:
        member, manager = await platform.member(), Manager(own, await platform.token("manager"))
        await own.earn(member, 1)
        await manager.adjust(member.id, 5)
        rows = await own.rows("SELECT DISTINCT expires_at FROM lots WHERE member_id = %(id)s", id=member.id)
        [(expires_at,)] = rows
        assert expires_at is not None


async def test_a_repetition_gets_the_first_answer(points: Points, manager: Manager, member: Member) -> None:
    key = str(new_id())
    first = await manager.adjust(member.id, 10, key=key)
    await manager.adjust(member.id, 5)
    assert await manager.adjust(member.id, 10, key=key) == first
    assert await points.balance(member) == 15
    assert await reason(manager.adjust(member.id, 11, key=key)) == "IDEMPOTENCY_KEY_REUSED"
    assert await reason(manager.adjust(member.id, 10, "Other", key=key)) == "IDEMPOTENCY_KEY_REUSED"
    other = Manager(points, await points.platform.token("manager"))
    await other.adjust(member.id, 1, key=key)
    assert await points.balance(member) == 16


async def test_a_refused_adjustment_is_judged_anew(points: Points, manager: Manager, member: Member) -> None:
    key = str(new_id())
    assert await reason(manager.adjust(member.id, -10, key=key)) == "INSUFFICIENT_POINTS"
    await points.earn(member, 10)
    assert (await manager.adjust(member.id, -10, key=key)).entry.balance_after == 0


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_thirty_two_at_once_with_one_key_count_once(
    points: Points, manager: Manager, member: Member
) -> None:
    key = str(new_id())
    replies = await asyncio.gather(*(manager.adjust(member.id, 10, key=key) for _ in range(32)))
    assert all(reply == replies[0] for reply in replies)
    assert await points.balance(member) == 10
    assert len((await points.entries(member)).entries) == 1
    await points.assert_balanced()


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_adjustments_and_debits_at_once_never_take_it_below_zero(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform, 100)
    calls = [
        *(manager.adjust(member.id, -15) for _ in range(16)),
        *(points.debit(uuid4(), member, 15) for _ in range(16)),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 6
    assert await points.balance(member) == 10
    rows = await points.rows(
        "SELECT balance_after FROM ledger_entries WHERE member_id = %(id)s", id=member.id
    )
    assert min(balance for (balance,) in rows) == 10
    await points.assert_balanced()


async def test_gifts_purchases_and_debits_at_once_add_up(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform, 100)
    await asyncio.gather(
        *(manager.adjust(member.id, 7) for _ in range(10)),
        *(points.earn(member, 3) for _ in range(10)),
        *(points.debit(uuid4(), member, 5) for _ in range(10)),
        *(manager.adjust(member.id, -2) for _ in range(10)),
    )
    assert await points.balance(member) == 100 + 70 + 30 - 50 - 20
    await points.assert_balanced()


async def test_who_is_unknown_or_gone_is_refused(
    points: Points, manager: Manager, platform: Platform
) -> None:
    stranger = uuid4()
    name, _, metadata = await refusal(manager.adjust(stranger, 10))
    assert (name, metadata) == ("MEMBER_NOT_FOUND", {"member_id": str(stranger)})
    gone = await heard_member(points, platform, 10)
    await points.send_event(gone.id, 3, "CLOSED")
    for delta in (10, -10):
        assert await reason(manager.adjust(gone.id, delta)) == "MEMBER_CLOSED"
    assert await points.rows("SELECT 1 FROM accounts WHERE member_id = %(id)s", id=stranger) == []
    await points.assert_balanced()


async def test_a_suspended_member_may_be_adjusted(points: Points, manager: Manager, member: Member) -> None:
    await points.send_event(member.id, 3, "SUSPENDED")
    assert (await manager.adjust(member.id, 10)).entry.balance_after == 10
    assert (await manager.adjust(member.id, -10)).entry.balance_after == 0


async def test_an_adjustment_amid_the_closing_waits_and_is_refused(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member, closing = await heard_member(points, platform, 30), asyncio.Event()

    async def close(connection: Connection) -> None:
        await apply_event(connection, Closed, member.id, 3)
        closing.set()
        await asyncio.sleep(0.3)

    async def adjust(delta: int) -> str:
        await closing.wait()
        return await reason(manager.adjust(member.id, delta))

    results = await asyncio.gather(points.database.run(close), adjust(10), adjust(-10))
    assert list(results[1:]) == ["MEMBER_CLOSED", "MEMBER_CLOSED"]
    await points.assert_balanced()


async def test_adjustments_and_the_closing_at_once_leave_an_empty_account(
    points: Points, manager: Manager, platform: Platform
) -> None:
    for _ in range(5):
        member = await heard_member(points, platform, 30)
        calls = [manager.adjust(member.id, (-1) ** number * 5) for number in range(20)]
        calls.insert(10, points.send_event(member.id, 3, "CLOSED"))  # type: ignore[arg-type]
        await asyncio.gather(*calls, return_exceptions=True)
        query = "SELECT balance, closed FROM accounts WHERE member_id = %(id)s"
        assert await points.rows(query, id=member.id) == [(0, True)]
    await points.assert_balanced()


async def test_a_balance_beyond_32_bits_is_refused(points: Points, manager: Manager, member: Member) -> None:
    for _ in range(2):
        await manager.adjust(member.id, 1_000_000_000)
    assert await reason(manager.adjust(member.id, 1_000_000_000)) == "BALANCE_LIMIT_REACHED"
    await manager.adjust(member.id, 2**31 - 1 - 2_000_000_000)
    assert await points.balance(member) == 2**31 - 1
    assert await reason(manager.adjust(member.id, 1)) == "BALANCE_LIMIT_REACHED"
    await points.assert_balanced()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"delta": 0}, "delta"),
        ({"delta": 1_000_000_001}, "delta"),
        ({"delta": -1_000_000_001}, "delta"),
        ({"reason": ""}, "reason"),
        ({"reason": " \t"}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"member_id": "me"}, "member_id"),
        ({"member_id": ""}, "member_id"),
    ],
)
async def test_bad_input_is_refused_by_name(
    manager: Manager, member: Member, fields: dict[str, Any], named: str
) -> None:
    good: dict[str, Any] = {"member_id": str(member.id), "delta": 1, "reason": "x"}
    request = admin_pb2.AdjustPointsRequest(**(good | fields))
    metadata = bearer(manager.token, idempotency_key=str(new_id()))
    call = manager.stub.AdjustPoints(request, metadata=metadata)
    assert set(await faulty_fields(call)) == {named}


@pytest.mark.parametrize("key", ["", "two words", "x" * 129])
async def test_a_key_is_needed(manager: Manager, member: Member, key: str) -> None:
    request = admin_pb2.AdjustPointsRequest(member_id=str(member.id), delta=1, reason="x")
    metadata = bearer(manager.token, **({"idempotency_key": key} if key else {}))
    assert await reason(manager.stub.AdjustPoints(request, metadata=metadata)) == "IDEMPOTENCY_KEY_REQUIRED"


@pytest.mark.parametrize("role", ["cashier", "brand_manager", "member", "till"])
async def test_only_managers_and_admins_adjust(
    points: Points, platform: Platform, member: Member, role: str
) -> None:
    somebody = Manager(points, await platform.token(role))
    assert await reason(somebody.adjust(member.id, 1)) == "ROLE_NOT_ALLOWED"
    assert await points.balance(member) == 0


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_an_adjustment_is_in_the_audit_list(
    manager: Manager, platform: Platform, member: Member
) -> None:
    given = await manager.adjust(member.id, 10, "Goodwill")
    platform_points = Points(platform, "", "")

    async def forwarded() -> None:
        rows = await audited(platform, "points.adjusted", str(member.id))
        assert rows == [{"adjustment_id": given.entry.adjustment_id, "delta": 10, "reason": "Goodwill"}]
        outbox = "SELECT 1 FROM outbox WHERE content ->> 'target_id' = %(id)s"
        assert await platform_points.rows(outbox, id=str(member.id)) == []

    await eventually(forwarded, seconds=10)


async def audited(platform: Platform, action: str, target_id: str) -> list[dict[str, Any]]:
    """Returns the entries of identity's audit list about an action done to a target."""

    async def fetch(connection: db.Connection) -> list[dict[str, Any]]:
        return await db.fetch_values(
            connection,
            "SELECT details FROM audit_entries WHERE action = %(action)s AND target_id = %(target)s",
            action=action,
            target=target_id,
        )

    return await platform.databases["identity"].read(fetch)
