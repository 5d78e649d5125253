"""Refunds: they take back what the returned lines earned, once, and parts add up to the whole."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest

from services.common.caller import BRAND_MANAGER, CASHIER, MANAGER
from services.common.db import fetch_all
from services.points.members.tests.test_members_who_leave import ledger
from services.points.tests.returns import (
    Lines,
    encoded,
    fields_refused,
    get_mine,
    owing,
    refund,
    split,
)
from services.points.tests.support import Points, item, receipt
from tests.inprocess import Member, Platform, eventually, reason, refusal


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_a_whole_refund_takes_back_what_the_purchase_earned(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(60_000), item(1_000, 2, alcohol=True)))
    reply = await refund(points, bought.purchase.id, "F-7", reason="stale")
    assert split(reply) == (60, 60, 0, 0, 0)
    assert reply.balance_after == 0
    assert reply.refund.refund_number == "F-7"
    assert reply.refund.reason == "stale"
    assert reply.refund.amount.amount_minor == 62_000
    assert reply.refund.amount.currency_code == "USD"
    assert [(line.line, line.quantity) for line in reply.refund.lines] == [(1, 1), (2, 2)]
    assert await owing(points, member) == (0, 0)
    assert await points.lots(member) == [(60, 0)]
    entry = (await points.entries(member)).entries[0]
    assert (entry.delta, entry.balance_after, entry.reason) == (-60, 0, "stale")
    assert (await ledger(points, member))[-1] == ("REFUND", -60, 0, bought.purchase.id)
    assert (await points.purchases(member)).purchases[0] == bought.purchase
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
@pytest.mark.parametrize(
    ("parts", "taken"),
    [
        ([1, 1, 1], [0, 1, 0]),
        ([2, 1], [1, 0]),
        ([1, 2], [0, 1]),
        ([3], [1]),
    ],
)
async def test_parts_take_the_difference_of_what_is_left(
    points: Points, platform: Platform, parts: list[int], taken: list[int]
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(550, 3)))
    for number, (quantity, expected) in enumerate(zip(parts, taken, strict=True)):
        reply = await refund(points, bought.purchase.id, f"F-{number}", [(1, quantity)])
        assert split(reply) == (expected, expected, 0, 0, 0)
        assert reply.refund.amount.amount_minor == 550 * quantity
    assert await points.balance(member) == 0
    assert (await get_mine(points, member, bought.purchase.id)).lines[0].quantity_left == 0
    await points.assert_balanced()


async def test_what_earned_nothing_takes_nothing_and_is_not_in_the_ledger(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(2_000), item(9_000, alcohol=True), item(500)))
    reply = await refund(points, bought.purchase.id, lines=[(2, 1), (3, 1)])
    assert split(reply) == (0, 0, 0, 0, 0)
    assert (reply.balance_after, reply.refund.amount.amount_minor) == (2, 9_500)
    assert len(await ledger(points, member)) == 1


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_a_refund_sent_again_gets_the_same_answer_byte_for_byte(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 5), item(1_000, 5)))
    lines = [(1, 2), (2, 1)]
    first = await refund(points, bought.purchase.id, "F-1", lines, reason="r")
    await points.earn(member, 3)
    await refund(points, bought.purchase.id, "F-2")
    for again in (lines, lines[::-1]):
        assert encoded(await refund(points, bought.purchase.id, "F-1", again, reason="r")) == encoded(first)
    assert await points.balance(member) == 3
    everything = await refund(points, bought.purchase.id, "F-2")
    assert split(everything)[0] == 7


@pytest.mark.parametrize(
    ("lines", "fields"),
    [([(1, 1)], {}), ([(2, 2)], {}), ([(1, 2), (2, 1)], {}), (None, {}), ([(1, 2)], {"reason": "other"})],
)
async def test_the_same_refund_number_with_other_content_is_refused(
    points: Points, platform: Platform, lines: Lines | None, fields: dict[str, str]
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 5), item(1_000, 5)))
    await refund(points, bought.purchase.id, "F-1", [(1, 2)])
    assert await refusal(refund(points, bought.purchase.id, "F-1", lines, **fields)) == (
        "REFUND_CONFLICT",
        grpc.StatusCode.ALREADY_EXISTS,
        {"refund_number": "F-1"},
    )
    assert await points.balance(member) == 8


async def test_refund_numbers_are_a_purchases_own(points: Points, platform: Platform) -> None:
    member = await platform.member()
    one, other = await points.earn(member, 3), await points.earn(member, 4)
    await refund(points, one.purchase.id, "F-1")
    await refund(points, other.purchase.id, "F-1")
    assert await points.balance(member) == 0


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_no_more_comes_back_than_was_bought(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 3), item(1_000)))

    def exceeds(line: int, left: int) -> object:
        metadata = {"line": str(line), "quantity_left": str(left)}
        return "REFUND_EXCEEDS_PURCHASE", grpc.StatusCode.FAILED_PRECONDITION, metadata

    assert await refusal(refund(points, bought.purchase.id, lines=[(1, 4)])) == exceeds(1, 3)
    await refund(points, bought.purchase.id, "F-1", [(1, 2)])
    assert await refusal(refund(points, bought.purchase.id, "F-2", [(2, 1), (1, 2)])) == exceeds(1, 1)
    assert await refusal(refund(points, bought.purchase.id, "F-2", [(1, 100_000)])) == exceeds(1, 1)
    assert await points.balance(member) == 2
    await refund(points, bought.purchase.id, "F-3")
    assert await refusal(refund(points, bought.purchase.id, "F-4")) == (
        "NOTHING_TO_REFUND",
        grpc.StatusCode.FAILED_PRECONDITION,
        {},
    )
    assert await refusal(refund(points, bought.purchase.id, "F-4", [(2, 1)])) == exceeds(2, 0)
    await points.assert_balanced()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"purchase_id": "nonsense"}, "purchase_id"),
        ({"number": ""}, "refund_number"),
        ({"number": "F" * 65}, "refund_number"),
        ({"number": "F\0"}, "refund_number"),
        ({"reason": "r" * 201}, "reason"),
        ({"reason": "\0"}, "reason"),
        ({"lines": [(0, 1)]}, "lines[0].line"),
        ({"lines": [(501, 1)]}, "lines[0].line"),
        ({"lines": [(1, 1), (1, 1)]}, "lines[1].line"),
        ({"lines": [(1, 1), (3, 1)]}, "lines[1].line"),
        ({"lines": [(1, 0)]}, "lines[0].quantity"),
        ({"lines": [(1, -1)]}, "lines[0].quantity"),
        ({"lines": [(1, 100_001)]}, "lines[0].quantity"),
        ({"lines": [(line, 1) for line in range(1, 502)]}, "lines"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    points: Points, platform: Platform, fields: dict[str, Any], named: str
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(), item()))
    wanted = {"purchase_id": bought.purchase.id} | fields
    refused = await fields_refused(refund(points, **wanted))
    assert named in refused
    assert await points.balance(member) == 2


async def test_tills_refund_their_own_receipts_and_staff_all(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 9)))
    other_till = await platform.till()
    call = refund(points, bought.purchase.id, token=other_till)
    assert await refusal(call) == ("PURCHASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {})
    assert await reason(refund(points, str(uuid4()))) == "PURCHASE_NOT_FOUND"
    assert await reason(refund(points, str(member.id), token=await platform.admin())) == "PURCHASE_NOT_FOUND"
    for role in (BRAND_MANAGER, "member"):
        token = member.token if role == "member" else await platform.token(role)
        assert await reason(refund(points, bought.purchase.id, token=token)) == "ROLE_NOT_ALLOWED"
    for role in ("admin", MANAGER, CASHIER):
        await refund(points, bought.purchase.id, f"F-{role}", [(1, 1)], token=await platform.token(role))
    assert await points.balance(member) == 6


class Audited(NamedTuple):
    """The text of an audit entry."""

    actor_id: str
    actor_role: str
    action: str
    details: dict[str, Any]


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_refunds_by_staff_are_audited(points: Points, platform: Platform) -> None:
    member = await platform.member()
    staff = uuid4()
    bought = await points.record(receipt(member.code, item(1_000, 9)))
    await refund(points, bought.purchase.id, "F-till", [(1, 1)])
    by_staff = {"token": await platform.token(CASHIER, staff), "reason": "stale"}
    for _ in range(2):
        await refund(points, bought.purchase.id, "F-staff", [(1, 2)], **by_staff)
    kept = "SELECT actor_id, actor_role, action, details FROM audit_entries WHERE target_id = %(id)s"
    on_the_way = """
        SELECT
          content ->> 'actor_id' AS actor_id, content ->> 'actor_role' AS actor_role,
          content ->> 'action' AS action, content -> 'details' AS details
        FROM outbox WHERE content ->> 'target_id' = %(id)s
    """

    async def rows(query: str, database: str) -> list[tuple[Any, ...]]:
        async def fetch(connection: Any) -> list[tuple[Any, ...]]:
            found = await fetch_all(connection, Audited, query, id=bought.purchase.id)
            return [(row.actor_id, row.actor_role, row.action, row.details) for row in found]

        return await platform.databases[database].read(fetch)

    async def listed() -> None:
        details = {"refund_number": "F-staff", "points": 2, "amount_minor": 2_000, "reason": "stale"}
        found = await rows(kept, "identity") + await rows(on_the_way, "points")
        assert found == [(str(staff), CASHIER, "purchase.refunded", details)]

    await eventually(listed)


async def test_one_refund_fifty_times_at_once_counts_once(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 60)))
    replies = await asyncio.gather(*[refund(points, bought.purchase.id, "F-1", [(1, 1)]) for _ in range(50)])
    assert len({encoded(reply) for reply in replies}) == 1
    assert await points.balance(member) == 59
    assert len(await ledger(points, member)) == 2
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_fifty_refunds_at_once_take_back_no_more_than_there_was(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 20), item(550, 3)))
    calls = [refund(points, bought.purchase.id, f"F-{n}", [(1, 1)]) for n in range(50)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    made = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(made) == 20
    assert await points.balance(member) == 1
    assert {answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)} == {
        grpc.StatusCode.FAILED_PRECONDITION
    }
    await points.assert_balanced()


async def test_refunds_orders_and_purchases_at_once_keep_the_books(
    points: Points, platform: Platform
) -> None:
    members = [await platform.member() for _ in range(3)]
    bought = [(m, await points.record(receipt(m.code, item(1_000, 10)))) for m in members for _ in range(3)]

    async def spend(member: Member) -> None:
        order = uuid4()
        with suppress(grpc.aio.AioRpcError):  # too few points
            await points.debit(order, member, 7)
        if random.random() < 0.5:
            await points.undo(order, member)

    calls: list[Any] = [spend(member) for member in members for _ in range(8)]
    calls += [points.earn(member, 2) for member in members for _ in range(8)]
    calls += [refund(points, made.purchase.id, f"F-{n}", [(1, 2)]) for _, made in bought for n in range(5)]
    random.shuffle(calls)
    await asyncio.gather(*calls)
    await points.assert_balanced()
    for member in members:
        got = await points.rows(
            "SELECT sum(taken + owed + expired + waived), max(b.points) FROM refunds r JOIN"
            " (SELECT id, points FROM purchases WHERE member_id = %(id)s) AS b ON b.id = r.purchase_id"
            " WHERE member_id = %(id)s GROUP BY purchase_id",
            id=member.id,
        )
        assert got == [(10, 10)] * 3
