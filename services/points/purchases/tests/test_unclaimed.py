"""Purchases without a member: how they are recorded, repeated, and refunded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from services.points.tests.returns import (
    change,
    claim_mine,
    encoded,
    find,
    get,
    owing,
    refund,
    split,
    unclaimed,
)
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import Platform, reason, refusal


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_purchase_without_a_member_is_recorded_and_can_be_claimed_for_two_weeks(
    points: Points, platform: Platform
) -> None:
    sold_at = sold(datetime.now(UTC) - timedelta(days=3))
    request = receipt("", item(5_000), till_number="7", sold_at=sold_at)
    reply = await points.record(request)
    assert (reply.purchase.points, reply.purchase.bonus_points) == (5, 0)
    assert not reply.HasField("balance_after"), "0 would be a balance"
    assert not reply.member_suspended
    assert len(reply.claim.claim_code) == 12
    until = reply.claim.claim_until.ToDatetime(UTC)
    assert until == sold_at.ToDatetime(UTC) + timedelta(days=14)
    details = await get(points, reply.purchase.id)
    assert details.purchase == reply.purchase
    assert (details.member_id, details.claim_until) == ("", reply.claim.claim_until)
    await points.assert_balanced()


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_repetition_gets_the_same_answer_before_and_after_refund_and_claim(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    await points.earn(member, 3)
    request = receipt("", item(1_000, 6))
    first = await points.record(request)
    assert encoded(await points.record(request)) == encoded(first)
    await refund(points, first.purchase.id, lines=[(1, 2)])
    assert encoded(await points.record(request)) == encoded(first)
    await claim_mine(points, member, first.claim.claim_code)
    assert encoded(await points.record(request)) == encoded(first)
    await refund(points, first.purchase.id, "F-2")
    assert encoded(await points.record(request)) == encoded(first)
    assert await points.balance(member) == 3
    await points.assert_balanced()


async def test_the_same_receipt_with_a_member_or_other_content_is_refused(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = receipt("")
    first = await points.record(request)
    request.member_code = member.code
    conflict = (
        "RECEIPT_CONFLICT",
        grpc.StatusCode.ALREADY_EXISTS,
        {"receipt_number": request.receipt_number, "purchase_id": first.purchase.id},
    )
    assert await refusal(points.record(request)) == conflict
    await claim_mine(points, member, first.claim.claim_code)
    assert await refusal(points.record(request)) == conflict
    assert await points.balance(member) == 1


async def test_one_receipt_a_hundred_times_at_once_has_one_claim_code(
    points: Points, platform: Platform
) -> None:
    request = receipt("", item(3_000))
    replies = await asyncio.gather(*[points.record(request) for _ in range(100)])
    assert len({encoded(reply) for reply in replies}) == 1
    rows = await points.rows(
        "SELECT count(*) FROM unclaimed_purchases WHERE purchase_id = %(id)s::uuid",
        id=replies[0].purchase.id,
    )
    assert rows == [(1,)]
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_goods_of_a_purchase_without_a_member_lower_what_it_will_earn(
    points: Points, platform: Platform
) -> None:
    bought = await unclaimed(points, item(1_000, 6), item(4_000))
    reply = await refund(points, bought.purchase.id, "F-1", [(1, 2)])
    assert (split(reply), reply.HasField("balance_after")) == ((0, 0, 0, 0, 0), False)
    assert reply.refund.amount.amount_minor == 2_000
    assert encoded(await refund(points, bought.purchase.id, "F-1", [(1, 2)])) == encoded(reply)
    assert (await get(points, bought.purchase.id)).purchase.points == 8
    member = await platform.member()
    claimed = await claim_mine(points, member, bought.claim.claim_code)
    assert (claimed.purchase.points, claimed.balance_after) == (8, 8)
    assert encoded(await refund(points, bought.purchase.id, "F-1", [(1, 2)])) == encoded(reply)
    assert await reason(refund(points, bought.purchase.id, "F-1", [(1, 1)])) == "REFUND_CONFLICT"
    assert await reason(refund(points, bought.purchase.id, "F-2", [(1, 5)])) == "REFUND_EXCEEDS_PURCHASE"
    assert split(await refund(points, bought.purchase.id, "F-2", [(1, 4)])) == (4, 4, 0, 0, 0)
    assert split(await refund(points, bought.purchase.id, "F-3")) == (4, 4, 0, 0, 0)
    assert await owing(points, member) == (0, 0)
    await points.assert_balanced()


async def test_one_that_was_refunded_whole_earns_nothing_when_claimed(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await unclaimed(points, item(5_000))
    await refund(points, bought.purchase.id)
    assert await reason(refund(points, bought.purchase.id, "F-2")) == "NOTHING_TO_REFUND"
    claimed = await claim_mine(points, member, bought.claim.claim_code)
    assert (claimed.purchase.points, claimed.balance_after) == (0, 0)
    again = await refund(points, bought.purchase.id)
    assert not again.HasField("balance_after"), "there was no member when it came back"
    assert (await points.purchases(member)).purchases[0] == claimed.purchase
    assert list((await points.entries(member)).entries) == []
    await points.assert_balanced()


async def test_it_can_be_refunded_when_it_can_not_be_claimed_any_more(
    points: Points, platform: Platform
) -> None:
    bought = await unclaimed(points, item(5_000))
    await change(
        points,
        "UPDATE unclaimed_purchases SET claim_until = now() - interval '1 s' WHERE claim_code = %(code)s",
        code=bought.claim.claim_code,
    )
    assert not (await get(points, bought.purchase.id)).HasField("claim_until")
    assert split(await refund(points, bought.purchase.id)) == (0, 0, 0, 0, 0)


@pytest.mark.covers("P1 PurchaseService.FindPurchase")
async def test_tills_find_it_by_its_receipt_like_any_other(points: Points, platform: Platform) -> None:
    request = receipt("", till_number="9")
    bought = await points.record(request)
    details = await find(points, receipt_number=request.receipt_number, till_number="9")
    assert details.purchase == bought.purchase
    assert details.claim_until == bought.claim.claim_until
