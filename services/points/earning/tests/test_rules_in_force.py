"""What tills, members and dry runs see of a change of the earn rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf import timestamp_pb2
from scrip.points.v1 import earn_effect_pb2

from services.common.ids import utc_now
from services.points.earning import Rate, RuleBook
from services.points.tests.earn_rule_help import DOUBLE_DAIRY, PLAIN, WELCOME, Staff, at, item, words_of
from services.points.tests.support import Points, receipt
from tests.inprocess import reason, refusal

AppliedRule = earn_effect_pb2.AppliedRule
DEFAULT = Rate(1, 1_000)


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
async def test_a_rule_of_staff_changes_what_the_next_purchase_earns(staff: Staff) -> None:
    made = await staff.create(name="Dairy week")
    milk = [item("dairy", 2_000), item("bread", 1_000), item("dairy", 9_000, alcohol=True)]
    judged = await staff.in_force(f"{PLAIN}; 200 % by Dairy week", *milk)
    assert judged.points == 5
    assert (judged.total.amount_minor, judged.eligible.amount_minor) == (12_000, 3_000)
    assert words_of(await staff.bought(item("bread"))) == PLAIN, "it did nothing for this one"

    await staff.update(made.id, multiplier=earn_effect_pb2.Multiplier(percent=50, categories=["DAIRY"]))
    assert (await staff.in_force(f"{PLAIN}; 50 % by Dairy week", *milk)).points == 2
    await staff.update(made.id, exclusion=earn_effect_pb2.Exclusion(categories=["dairy"]))
    assert (await staff.in_force(f"{PLAIN}; none by Dairy week", *milk)).points == 1
    await staff.update(made.id, base_rate=earn_effect_pb2.BaseRate(points=7, per_minor=3_000))
    rated = await staff.in_force("7 per 3000 minor units by Dairy week", *milk)
    assert (rated.points, rated.eligible.amount_minor) == (7, 3_000)
    await staff.update(made.id, enabled=False)
    assert (await staff.in_force(PLAIN, *milk)).points == 3


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
async def test_a_change_takes_effect_within_two_seconds(staff: Staff) -> None:
    for percent in (200, 300):
        await staff.create(
            name=f"Times {percent}", multiplier=earn_effect_pb2.Multiplier(percent=percent), priority=percent
        )
        await staff.in_force(f"{PLAIN}; {percent} % by Times {percent}", seconds=2)


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
async def test_the_past_keeps_its_rules(staff: Staff, points: Points) -> None:
    made = await staff.create(name="Dairy week")
    member = await points.platform.member()
    await staff.in_force(f"{PLAIN}; 200 % by Dairy week", item("dairy"))
    sale = receipt(member.code, item("dairy", 5_000))
    first = await points.record(sale)
    await staff.update(
        made.id, name="Another name", exclusion=earn_effect_pb2.Exclusion(categories=["dairy"])
    )
    await staff.in_force(f"{PLAIN}; none by Another name", item("dairy"))
    await staff.delete(made.id)
    await staff.in_force(PLAIN, item("dairy"))
    assert await points.record(sale) == first
    [kept] = (await points.purchases(member)).purchases
    assert (kept.points, words_of(kept)) == (10, f"{PLAIN}; 200 % by Dairy week")

    [(set_id, sold_at)] = await points.rows(
        "SELECT rule_set_id, sold_at FROM purchases WHERE id = %(id)s::uuid", id=kept.id
    )
    book = RuleBook(points.platform.databases["points"], DEFAULT)
    terms = (await book.get(set_id)).at(sold_at)
    assert terms.rules[0].name == "Dairy week"
    assert await book.get(set_id) is await book.get(set_id)
    await points.assert_balanced()


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
async def test_the_time_of_sale_decides_which_rules_hold(staff: Staff) -> None:
    day = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
    await staff.create(
        name="That day", starts_at=at(day), ends_at=at(day + timedelta(days=1)), multiplier=DOUBLE_DAIRY
    )
    await staff.create(name="Anchor", exclusion=earn_effect_pb2.Exclusion(categories=["anchor"]))
    await staff.in_force(f"{PLAIN}; none by Anchor", item("anchor"))
    tick = timedelta(microseconds=1)
    moments = [day - tick, day, day + timedelta(days=1) - tick, day + timedelta(days=1), utc_now()]
    found = [await staff.bought(item("dairy"), sold_at=at(moment)) for moment in moments]
    assert [purchase.points for purchase in found] == [1, 2, 2, 1, 1]
    tried = [await staff.dry_run(item("dairy"), sold_at=at(moment)) for moment in moments]
    assert [reply.points for reply in tried] == [1, 2, 2, 1, 1]


async def test_the_bonus_is_for_the_first_purchase_that_earns(staff: Staff, points: Points) -> None:
    early = await points.platform.member()
    await points.record(receipt(early.code))
    await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    await staff.create(name="Anchor", exclusion=earn_effect_pb2.Exclusion(categories=["anchor"]))
    await staff.in_force(f"{PLAIN}; none by Anchor", item("anchor"))
    member = await points.platform.member()
    nothing = await points.record(receipt(member.code, item("wine", 5_000, alcohol=True)))
    assert (nothing.purchase.points, nothing.purchase.bonus_points) == (0, 0)
    sale = receipt(member.code)
    replies = await asyncio.gather(*(points.record(sale) for _ in range(10)))
    assert {(r.purchase.points, r.purchase.bonus_points, r.balance_after) for r in replies} == {(51, 50, 51)}
    second = await points.record(receipt(member.code))
    assert (second.purchase.points, second.purchase.bonus_points, second.balance_after) == (1, 0, 52)
    again = await points.record(receipt(early.code))
    assert (again.purchase.points, again.purchase.bonus_points) == (1, 0)
    await points.assert_balanced()


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
async def test_one_member_gets_one_bonus_at_any_number_of_tills(staff: Staff, points: Points) -> None:
    await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    await staff.create(name="Anchor", exclusion=earn_effect_pb2.Exclusion(categories=["anchor"]))
    await staff.in_force(f"{PLAIN}; none by Anchor", item("anchor"))
    member = await points.platform.member()
    replies = await asyncio.gather(*(points.record(receipt(member.code)) for _ in range(30)))
    assert sorted(reply.purchase.bonus_points for reply in replies) == [0] * 29 + [50]
    assert await points.balance(member) == 30 + 50
    await points.assert_balanced()


async def test_points_and_bonus_together_beyond_any_balance_are_refused(staff: Staff, points: Points) -> None:
    most = 2**31 - 1
    await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    await staff.create(name="Generous", base_rate=earn_effect_pb2.BaseRate(points=1, per_minor=1))
    await staff.in_force("1 per 1 minor units by Generous")
    member = await points.platform.member()
    for price in (most, most - 49):
        assert await reason(points.record(receipt(member.code, item("x", price)))) == "BALANCE_LIMIT_REACHED"
    bought = await points.record(receipt(member.code, item("x", most - 50)))
    assert bought.balance_after == most
    await points.assert_balanced()


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_a_dry_run_says_what_a_receipt_would_earn_and_why(staff: Staff, points: Points) -> None:
    dairy = await staff.create(name="Dairy week")
    tobacco = await staff.create(name="Tobacco", exclusion=earn_effect_pb2.Exclusion(categories=["tobacco"]))
    welcome = await staff.create(name="Welcome", first_purchase_bonus=WELCOME)
    before = await points.rows("SELECT count(*) FROM purchases")
    items = [item("dairy", 2_500), item("Tobacco", 700), item("wine", 900, alcohol=True), item("", 1_000)]
    said = await staff.dry_run(*items, first_purchase=True)
    assert (said.points, said.bonus_points) == (6 + 50, 50)
    assert (said.total.amount_minor, said.total.currency_code) == (5_100, "USD")
    assert (said.eligible.amount_minor, said.eligible.currency_code) == (3_500, "USD")
    assert list(said.applied_rules) == [
        AppliedRule(base_rate=earn_effect_pb2.BaseRate(points=1, per_minor=1_000)),
        AppliedRule(earn_rule_id=tobacco.id, name="Tobacco", exclusion=True),
        AppliedRule(earn_rule_id=dairy.id, name="Dairy week", multiplier_percent=200),
        AppliedRule(earn_rule_id=welcome.id, name="Welcome", first_purchase_bonus=WELCOME),
    ]
    assert [(line.line, line.amount.amount_minor, line.earn_percent) for line in said.lines] == [
        (1, 2_500, 200),
        (2, 700, 0),
        (3, 900, 0),
        (4, 1_000, 100),
    ]
    whys = [line.WhichOneof("why") or "" for line in said.lines]
    assert [(why, getattr(line, why)) for why, line in zip(whys, said.lines, strict=True)] == [
        ("multiplying_earn_rule_id", dairy.id),
        ("excluding_earn_rule_id", tobacco.id),
        ("alcohol", True),
        ("in_full", True),
    ]
    assert (await staff.dry_run(*items)).points == 6
    assert (await staff.dry_run(*items, currency_code="USD")).points == 6
    assert await points.rows("SELECT count(*) FROM purchases") == before
    judged = await staff.in_force(f"{PLAIN}; 200 % by Dairy week; none by Tobacco", *items)
    assert (judged.points, judged.bonus_points) == (said.points, said.bonus_points)
    assert judged.eligible == said.eligible
    assert list(judged.applied_rules) == list(said.applied_rules)


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_a_dry_run_may_try_any_time(staff: Staff) -> None:
    past, future = datetime(2011, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)
    year = timedelta(days=365)
    for begin in (past, future):
        await staff.create(name=f"In {begin.year}", starts_at=at(begin), ends_at=at(begin + year))
    for begin in (past, future):
        assert (await staff.dry_run(item("dairy"), sold_at=at(begin))).points == 2
        assert (await staff.dry_run(item("dairy"), sold_at=at(begin + year))).points == 1
    assert (await staff.dry_run(item("dairy"))).points == 1
    with_seconds = timestamp_pb2.Timestamp(seconds=253402300800)
    assert await reason(staff.dry_run(item("dairy"), sold_at=with_seconds)) == "VALIDATION_FAILED"


async def test_what_no_till_could_report_can_not_be_tried_either(staff: Staff) -> None:
    found = await refusal(staff.dry_run(item("dairy"), currency_code="EUR"))
    metadata = {"currency_code": "EUR", "expected": "USD"}
    assert found == ("CURRENCY_NOT_SUPPORTED", grpc.StatusCode.INVALID_ARGUMENT, metadata)
    huge = [item("dairy", 10_000_000_000)] * 11
    assert await reason(staff.dry_run(*huge)) == "RECEIPT_TOO_LARGE"
    assert await reason(staff.dry_run()) == "VALIDATION_FAILED"
    assert await reason(staff.dry_run(*[item("dairy")] * 501)) == "VALIDATION_FAILED"
    assert await reason(staff.dry_run(item("dairy", -1))) == "VALIDATION_FAILED"
    await staff.create(
        name="Far too generous", base_rate=earn_effect_pb2.BaseRate(points=1_000_000, per_minor=1)
    )
    assert await reason(staff.dry_run(item("dairy", 10_000_000_000))) == "BALANCE_LIMIT_REACHED"
