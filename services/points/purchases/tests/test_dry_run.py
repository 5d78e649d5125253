"""Dry runs of tills: what a receipt would earn for a customer, and that trying changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from scrip.points.v1 import earn_effect_pb2, earn_rule_pb2, earn_rule_pb2_grpc, purchase_pb2

from services.common.ids import utc_now
from services.points.purchases.tests.test_line_totals import at_total, by_weight
from services.points.purchases.tests.test_suspended import suspended
from services.points.tests.earn_rule_help import WELCOME, Staff
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import InProcess, Platform, bearer, eventually, reason

CHANGED = (
    "SELECT (SELECT count(*) FROM purchases), (SELECT count(*) FROM member_codes),"
    " (SELECT count(*) FROM used_codes), (SELECT count(*) FROM accounts)"
)


async def tried(
    points: Points, *items: purchase_pb2.PurchaseItem, token: str = "", **fields: Any
) -> earn_rule_pb2.DryRunPurchaseResponse:
    """Returns what a receipt would earn, as the till or with another token."""
    stub = earn_rule_pb2_grpc.EarnRuleServiceStub(points.channel)
    request = earn_rule_pb2.DryRunPurchaseRequest(items=items or [item()], **fields)
    return await stub.DryRunPurchase(request, metadata=bearer(token or points.till))


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_a_till_learns_whether_the_bonus_is_due_and_nothing_changes(
    points: Points, platform: Platform, staff: Staff
) -> None:
    await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    new, old = await platform.member(), await platform.member()
    await points.earn(old, 1)
    nothing = await platform.member()
    await points.record(receipt(nothing.code, item(1)))
    before = await points.rows(CHANGED)
    signed = platform.signed_code(new)
    for code, bonus in ((new.code, 50), (signed, 50), (old.code, 0), (nothing.code, 50)):
        said = await tried(points, member_code=code)
        assert (said.points, said.bonus_points, said.member_suspended) == (1 + bonus, bonus, False), code
        assert [rule.name for rule in said.applied_rules] == ["", "Welcome"][: 1 + bool(bonus)]
    assert (await tried(points, member_code=old.code, first_purchase=True)).bonus_points == 0
    assert (await tried(points, first_purchase=True)).bonus_points == 50
    assert (await tried(points, item(1), member_code=new.code)).points == 0
    assert await points.rows(CHANGED) == before
    bought = await points.record(receipt(signed, sold_at=sold(utc_now())))
    assert bought.purchase.receipt_number, "the code that was tried is still good"


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_lines_are_tried_as_they_are_recorded(points: Points) -> None:
    said = await tried(points, by_weight(345), at_total(1_000))
    assert [line.amount.amount_minor for line in said.lines] == [690, 1_000]
    assert (said.total.amount_minor, said.points) == (1_690, 1)
    [rate] = said.applied_rules
    assert rate == earn_effect_pb2.AppliedRule(base_rate=earn_effect_pb2.BaseRate(points=1, per_minor=1_000))


async def test_a_code_of_nobody_is_unknown_and_a_suspended_members_receipt_would_be_kept(
    points: Points, platform: Platform, staff: Staff
) -> None:
    await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    for code in ("NOBODY", "0123456789AB", "---", "S1" + "0" * 59):
        assert await reason(tried(points, member_code=code)) == "MEMBER_CODE_UNKNOWN"
    member = await suspended(platform)
    for code in (member.code, platform.signed_code(member)):
        said = await tried(points, member_code=code, first_purchase=True)
        assert (said.points, said.bonus_points, said.member_suspended) == (1, 0, True)


async def test_without_identity_a_kept_code_can_be_tried(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    known, new = await platform.member(), await platform.member()
    await points.earn(known, 1)
    await platform.stop("identity")
    try:
        assert (await tried(points, member_code=known.code)).points == 1
        assert await reason(tried(points, member_code=new.code)) == "DEPENDENCY_UNAVAILABLE"
    finally:
        await in_process.start_service("identity")

    async def back() -> None:
        assert await reason(tried(points, member_code="0123456789AB")) == "MEMBER_CODE_UNKNOWN"

    await eventually(back)


async def test_members_try_nothing(points: Points, platform: Platform) -> None:
    member = await platform.member()
    assert await reason(tried(points, token=member.token)) == "ROLE_NOT_ALLOWED"
