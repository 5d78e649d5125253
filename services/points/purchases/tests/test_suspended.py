"""Receipts of members who are suspended: kept without a member, singly, in batches and in streams."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from services.common.ids import utc_now
from services.points.purchases.tests.test_batches import batch, reason_of
from services.points.purchases.tests.test_streams import open_stream, results_of, sent
from services.points.tests.returns import claim, claim_mine, encoded, get
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import InProcess, Member, Platform, bearer, eventually, reason


async def _admin(platform: Platform) -> tuple[Any, Any]:
    stub = member_pb2_grpc.MemberAdminServiceStub(platform.channels["identity"])
    return stub, bearer(await platform.admin())


async def suspend(platform: Platform, member: Member) -> None:
    """Has staff suspend a member."""
    stub, metadata = await _admin(platform)
    request = member_pb2.SuspendMemberRequest(member_id=str(member.id), reason="Under review")
    await stub.SuspendMember(request, metadata=metadata)


async def restore(points: Points, platform: Platform, member: Member) -> None:
    """Has staff restore a member, and returns when points has heard."""
    stub, metadata = await _admin(platform)
    request = member_pb2.RestoreMemberRequest(member_id=str(member.id), reason="Fine")
    await stub.RestoreMember(request, metadata=metadata)

    async def heard() -> None:
        query = "SELECT status FROM members WHERE member_id = %(id)s"
        assert await points.rows(query, id=member.id) == [("ACTIVE",)]

    await eventually(heard)


async def suspended(platform: Platform) -> Member:
    """Returns a member who is suspended, and whose code no till has sent yet."""
    member = await platform.member()
    await suspend(platform, member)
    return member


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_it_is_kept_with_a_claim_and_becomes_the_members_when_restored(
    points: Points, platform: Platform
) -> None:
    member = await suspended(platform)
    request = receipt(member.code, item(5_000))
    reply = await points.record(request)
    assert (reply.member_suspended, reply.HasField("balance_after")) == (True, False)
    assert (reply.purchase.points, reply.purchase.bonus_points) == (5, 0)
    assert len(reply.claim.claim_code) == 12
    assert encoded(await points.record(request)) == encoded(reply)
    assert (await get(points, reply.purchase.id)).member_id == ""
    number = request.receipt_number
    assert await reason(claim(points, number, member.code)) == "MEMBER_CODE_UNKNOWN"
    await restore(points, platform, member)
    claimed = await claim(points, number, member.code)
    assert (claimed.purchase.points, claimed.balance_after) == (5, 5)
    assert encoded(await points.record(request)) == encoded(reply), "as at first, for ever"
    assert (await points.record(receipt(member.code))).balance_after == 6
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases", "P2 PurchaseService.StreamPurchases")
async def test_in_batches_and_streams_it_spares_its_neighbours(points: Points, platform: Platform) -> None:
    out, member = await suspended(platform), await platform.member()
    codes = [out.code, member.code, "NOBODY", "", platform.signed_code(out), member.code]
    receipts = [receipt(code, item(1_000), sold_at=sold(utc_now())) for code in codes]
    results = await batch(points, receipts)
    assert [reason_of(one) for one in results] == [
        *["recorded"] * 2,
        "MEMBER_CODE_UNKNOWN",
        *["recorded"] * 3,
    ]
    kept = [one.recorded.member_suspended for one in results if one.HasField("recorded")]
    assert kept == [True, False, False, True, False]
    streamed = await results_of(open_stream(points, sent(receipts, 2)))
    assert streamed == results
    fresh = [receipt(code, item(1_000)) for code in (member.code, out.code)]
    answers = await results_of(open_stream(points, sent(fresh, 1)))
    assert [one.recorded.member_suspended for one in answers] == [False, True]
    assert await points.balance(member) == 3
    await points.assert_balanced()


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_a_signed_code_must_still_be_good_and_is_not_used_up(
    points: Points, platform: Platform
) -> None:
    member = await suspended(platform)
    code = platform.signed_code(member)
    reply = await points.record(receipt(code, sold_at=sold(utc_now())))
    assert reply.member_suspended
    used = "SELECT 1 FROM used_codes WHERE code_id = %(id)s"
    assert await points.rows(used, id=code[2:41]) == []
    old = platform.signed_code(member, utc_now() - timedelta(minutes=10))
    assert await reason(points.record(receipt(old, sold_at=sold(utc_now())))) == "MEMBER_CODE_EXPIRED"


async def test_one_sent_while_the_member_was_active_stays_the_members(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = receipt(member.code)
    first = await points.record(request)
    await suspend(platform, member)

    async def out() -> None:
        assert (await points.record(receipt(member.code, item(0)))).member_suspended

    await eventually(out)
    assert encoded(await points.record(request)) == encoded(first)
    assert not first.member_suspended


async def test_the_receipt_of_a_closed_account_is_refused(points: Points, platform: Platform) -> None:
    member = await platform.member()
    codes = [member.code, platform.signed_code(member)]
    await platform.close_account(member)
    for code in codes:
        assert await reason(points.record(receipt(code, sold_at=sold(utc_now())))) == "MEMBER_CODE_UNKNOWN"


async def test_while_identity_is_away_it_waits_and_a_repetition_does_not(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    member = await suspended(platform)
    request = receipt(member.code)
    first = await points.record(request)
    await platform.stop("identity")
    try:
        assert encoded(await points.record(request)) == encoded(first)
        assert await reason(points.record(receipt(member.code))) == "DEPENDENCY_UNAVAILABLE"
    finally:
        await in_process.start_service("identity")

    async def back() -> None:
        assert await reason_or_done(points, member) == "recorded"

    await eventually(back)


async def reason_or_done(points: Points, member: Member) -> str:
    """Returns what becomes of a receipt of the member."""
    [result] = await batch(points, [receipt(member.code)])
    return reason_of(result)


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_it_can_be_claimed_by_the_code_on_the_receipt_like_any_other(
    points: Points, platform: Platform
) -> None:
    member, friend = await suspended(platform), await platform.member()
    reply = await points.record(receipt(member.code, item(2_000)))
    claimed = await claim_mine(points, friend, reply.claim.claim_code)
    assert claimed.balance_after == 2
    await points.assert_balanced()
