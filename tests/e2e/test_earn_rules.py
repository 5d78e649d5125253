"""Earn rules: staff change what purchases earn, try it before, and never change the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import invariants
from tests.e2e.people import staff
from tests.e2e.points import (
    UNKNOWN,
    create_rule,
    days_ago,
    delete_rule,
    details,
    line,
    record,
    rules_in_force,
    sale,
)
from tests.platform import Member, Platform, at_once, refusal, unique

RULES = "/v1/earn-rules"
TRY = "/v1/earn-rules:dryRun"
BASE = {"earn_rule_id": "", "name": "", "base_rate": {"points": 1, "per_minor": "1000"}}


async def _tried(live: Platform, lines: list[dict[str, Any]], **fields: Any) -> Any:
    return await live.ok("POST", TRY, {"items": lines} | fields, token=live.admin)


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
async def test_a_rule_doubles_its_category_and_leaves_the_past(
    live: Platform, member: Member, till: str
) -> None:
    category = unique()
    lines = [line(2_500, category=category.upper()), line(1_000, category="other")]
    before = sale(member, *lines)
    first = await record(live, till, before)
    assert (first["purchase"]["points"], first["purchase"]["applied_rules"]) == (3, [BASE])
    double = {"multiplier": {"percent": 200, "categories": [category]}}
    async with rules_in_force(live, till, double) as [rule]:
        told = await record(live, till, sale(member, *lines))
        assert told["purchase"]["points"] == 6
        doubled = {"earn_rule_id": rule["id"], "name": rule["name"], "multiplier_percent": 200}
        assert told["purchase"]["applied_rules"] == [BASE, doubled]
        assert await record(live, till, before) == first
    kept = await details(live, till, told["purchase"]["id"])
    assert [one["earn_percent"] for one in kept["lines"]] == [200, 100]
    assert kept["purchase"] == told["purchase"]
    assert await live.balance(member) == 9


BASKETS = [
    pytest.param([line(1_999)], id="rounded-down"),
    pytest.param([line(999), line(999, category="A")], id="rounded-once"),
    pytest.param([line(100_000, 3, "A"), line(7_777, category="B")], id="two-multipliers"),
    pytest.param([line(50_000, category="C"), line(900)], id="excluded"),
    pytest.param([line(50_000, category="A", alcohol=True), line(123_456)], id="alcohol"),
    pytest.param([line(0, 5), line(33, 7, "B"), line(1_111, 9, "A")], id="many-small"),
    pytest.param([line(10**10, 10)], id="as-large-as-may-be"),
]


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
@pytest.mark.parametrize("lines", BASKETS)
async def test_a_dry_run_says_what_the_purchase_then_earns(
    live: Platform, member: Member, till: str, lines: list[dict[str, Any]]
) -> None:
    own = {name: f"{name}-{unique()}" for name in "ABC"}
    lines = [one | {"category": own.get(one["category"], "")} for one in lines]
    sold_at = days_ago(9)
    window = {"starts_at": sold_at.isoformat(), "ends_at": (sold_at + timedelta(seconds=1)).isoformat()}
    rules = (
        {"base_rate": {"points": 3, "per_minor": "500"}} | window,
        {"multiplier": {"percent": 150, "categories": [own["A"], own["C"]]}, "priority": 1},
        {"multiplier": {"percent": 300, "categories": [own["A"], own["B"]]}},
        {"exclusion": {"categories": [own["C"]]}, "priority": -5},
        {"first_purchase_bonus": {"points": 40}} | window,
    )
    async with rules_in_force(live, till, *rules):
        when = {"sold_at": sold_at.isoformat()}
        tried = await _tried(live, lines, first_purchase=True, **when)
        told = await record(live, till, sale(member, *lines, sold_at=sold_at))
        again = await _tried(live, lines, first_purchase=False, **when)
        second = await record(live, till, sale(member, *lines, sold_at=sold_at))
    for dry, bought in ((tried, told["purchase"]), (again, second["purchase"])):
        same = ("points", "bonus_points", "total", "eligible")
        assert [dry[name] for name in same] == [bought[name] for name in same]
    assert tried["points"] > 40 == tried["bonus_points"]
    kept = await details(live, till, told["purchase"]["id"])
    assert [one["earn_percent"] for one in tried["lines"]] == [one["earn_percent"] for one in kept["lines"]]
    assert await live.balance(member) == tried["points"] + again["points"]


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_a_dry_run_says_why_and_changes_nothing(live: Platform, till: str) -> None:
    category, drink = unique(), unique()
    double = {"name": "Dairy week", "multiplier": {"percent": 200, "categories": [category]}}
    none = {"name": "Tobacco", "exclusion": {"categories": [drink]}}
    lines = [line(1_000, 2, category), line(500, category=drink), line(900, alcohol=True), line(100)]
    counted = "SELECT count(*) AS purchases FROM purchases"
    async with rules_in_force(live, till, double, none) as [twice, never]:
        before = invariants.rows(live.databases["points"], counted)
        tried = await _tried(live, lines)
    assert invariants.rows(live.databases["points"], counted) == before
    assert tried["points"] == 4
    assert tried["total"] == {"currency_code": "USD", "amount_minor": "3500"}
    assert tried["eligible"]["amount_minor"] == "2100"
    assert [
        {name: value for name, value in one.items() if name not in ("amount", "line")}
        for one in tried["lines"]
    ] == [
        {"earn_percent": 200, "multiplying_earn_rule_id": twice["id"]},
        {"earn_percent": 0, "excluding_earn_rule_id": never["id"]},
        {"earn_percent": 0, "alcohol": True},
        {"earn_percent": 100, "in_full": True},
    ]
    assert tried["applied_rules"] == [
        BASE,
        {"earn_rule_id": never["id"], "name": "Tobacco", "exclusion": True},
        {"earn_rule_id": twice["id"], "name": "Dairy week", "multiplier_percent": 200},
    ]


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
async def test_a_window_begins_with_its_start_and_ends_before_its_end(live: Platform, till: str) -> None:
    category, start = unique(), days_ago(5).replace(microsecond=0)
    end = start + timedelta(hours=1)
    double = {
        "multiplier": {"percent": 200, "categories": [category]},
        "starts_at": start.isoformat(),
        "ends_at": end.isoformat(),
    }
    tick = timedelta(microseconds=1)
    async with rules_in_force(live, till, double):
        for sold_at, points in ((start - tick, 1), (start, 2), (end - tick, 2), (end, 1)):
            body = sale(None, line(1_000, category=category), sold_at=sold_at)
            assert (await record(live, till, body))["purchase"]["points"] == points, sold_at


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
async def test_a_rule_is_read_listed_changed_and_deleted(live: Platform) -> None:
    window = {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-02-01T00:00:00Z"}
    rule = await create_rule(live, base_rate={"points": 2, "per_minor": "100"}, priority=3, **window)
    path = f"{RULES}/{rule['id']}"
    assert rule.items() >= (window | {"enabled": True, "priority": 3}).items()
    assert rule["base_rate"] == {"points": 2, "per_minor": "100"}
    assert (await live.ok("GET", path, token=live.admin))["rule"] == rule
    changed = await live.ok(
        "PATCH", path, {"etag": rule["etag"], "enabled": False, "clear": ["ends_at"]}, token=live.admin
    )
    now = changed["rule"]
    assert (now["enabled"], "ends_at" in now, now["starts_at"]) == (False, False, window["starts_at"])
    assert now["etag"] != rule["etag"]
    late = await live.refused("PATCH", path, {"etag": rule["etag"], "priority": 9}, token=live.admin)
    assert (late.status, late.reason, late.metadata) == (409, "ETAG_MISMATCH", {"etag": now["etag"]})
    disabled = await live.ok("GET", f"{RULES}?enabled=false&page_size=1", token=live.admin)
    assert disabled["rules"] == [now]
    enabled = await live.ok("GET", f"{RULES}?enabled=true&page_size=200", token=live.admin)
    assert rule["id"] not in [one["id"] for one in enabled["rules"]]
    assert await live.ok("DELETE", path, token=live.admin) == {}
    for method, body in (("GET", None), ("PATCH", {"priority": 1}), ("DELETE", None)):
        gone = await live.refused(method, path, body, token=live.admin)
        assert (gone.status, gone.reason) == (404, "EARN_RULE_NOT_FOUND")
    await live.at_rest(10)
    audited = await live.ok("GET", f"/v1/audit-entries?target_id={rule['id']}", token=live.admin)
    told = [entry["action"] for entry in audited["entries"]]
    assert told == ["earn_rule.deleted", "earn_rule.updated", "earn_rule.created"]


async def test_no_name_of_another_rule_in_the_body_is_taken(live: Platform) -> None:
    mine, other = [
        await create_rule(live, exclusion={"categories": [unique()]}, disabled=True) for _ in range(2)
    ]
    path = f"{RULES}/{mine['id']}"
    for where, fields in ((path, {"earn_rule_id": other["id"]}), (f"{path}?nope=1", {})):
        refused = await live.refused("PATCH", where, {"priority": 5} | fields, token=live.admin)
        assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    for rule in (mine, other):
        assert (await live.ok("GET", f"{RULES}/{rule['id']}", token=live.admin))["rule"] == rule
        await delete_rule(live, rule)


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
async def test_fifty_creations_with_one_key_at_once_make_one_rule(live: Platform) -> None:
    body = {"name": f"Rule {unique()}", "exclusion": {"categories": [unique()]}, "disabled": True}
    key = unique()
    answers = await at_once([live.call("POST", RULES, body, token=live.admin, key=key) for _ in range(50)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    other = await live.refused("POST", RULES, body | {"priority": 1}, token=live.admin, key=key)
    assert (other.status, other.reason) == (409, "IDEMPOTENCY_KEY_REUSED")
    await delete_rule(live, answers[0].json()["rule"])


GOOD = {"name": "Rule", "exclusion": {"categories": ["x"]}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"exclusion": None}, "request"),
        ({"exclusion": {}}, "exclusion.categories"),
        ({"exclusion": {"categories": ["x", "x"]}}, "exclusion.categories"),
        ({"exclusion": {"categories": ["x" * 65]}}, "exclusion.categories[0]"),
        ({"exclusion": {"categories": [str(n) for n in range(201)]}}, "exclusion.categories"),
        ({"exclusion": None, "multiplier": {"percent": 0}}, "multiplier.percent"),
        ({"exclusion": None, "multiplier": {"percent": -200}}, "multiplier.percent"),
        ({"exclusion": None, "multiplier": {"percent": 10_001}}, "multiplier.percent"),
        ({"exclusion": None, "base_rate": {"points": 0, "per_minor": "1"}}, "base_rate.points"),
        ({"exclusion": None, "base_rate": {"points": 1, "per_minor": "0"}}, "base_rate.per_minor"),
        ({"exclusion": None, "base_rate": {"points": 1, "per_minor": "-5"}}, "base_rate.per_minor"),
        ({"exclusion": None, "first_purchase_bonus": {"points": -1}}, "first_purchase_bonus.points"),
        ({"priority": 1_000_001}, "priority"),
        ({"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}, "request"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    live: Platform, change: dict[str, Any], field: str
) -> None:
    body = {name: value for name, value in (GOOD | change).items() if value is not None}
    refused = await live.refused("POST", RULES, body, token=live.admin)
    assert (refused.status, refused.reason, {*refused.fields}) == (400, "VALIDATION_FAILED", {field})


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"clear": ["name"]}, "clear[0]"),
        ({"clear": ["ends_at", "ends_at"]}, "clear"),
        ({"clear": ["ends_at"], "ends_at": "2099-01-01T00:00:00Z"}, "clear"),
        ({"ends_at": "2019-01-01T00:00:00Z"}, "ends_at"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    live: Platform, body: dict[str, Any], field: str
) -> None:
    rule = await create_rule(
        live, exclusion={"categories": ["x"]}, starts_at="2020-01-01T00:00:00Z", disabled=True
    )
    refused = await live.refused("PATCH", f"{RULES}/{rule['id']}", body, token=live.admin)
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", [field])
    assert (await live.ok("GET", f"{RULES}/{rule['id']}", token=live.admin))["rule"] == rule
    await delete_rule(live, rule)


async def test_cashiers_read_and_try_rules_tills_try_them_and_others_do_not(
    live: Platform, ada: Member, till: str
) -> None:
    rule = await create_rule(live, exclusion={"categories": [unique()]}, disabled=True)
    cashier, manager = await staff(live, "CASHIER"), await staff(live, "MANAGER")
    one, trial = f"{RULES}/{rule['id']}", {"items": [line(100)]}
    reads: list[tuple[str, str, Any]] = [("GET", one, None), ("GET", RULES, None)]
    tries: list[tuple[str, str, Any]] = [("POST", TRY, trial)]
    writes = [("POST", RULES, GOOD), ("PATCH", one, {"priority": 1}), ("DELETE", one, None)]
    for token, calls in ((cashier.token, reads + tries), (till, tries)):
        for method, path, body in calls:
            assert (await live.call(method, path, body, token=token)).status_code == 200
    refusals = ((cashier.token, writes), (till, reads + writes), (ada.token, reads + tries + writes))
    for token, calls in refusals:
        for method, path, body in calls:
            refused = await live.refused(method, path, body, token=token)
            assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
    told = await live.ok("PATCH", one, {"priority": 1}, token=manager.token)
    assert told["rule"]["priority"] == 1
    await delete_rule(live, rule)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"currency_code": "EUR"}, "CURRENCY_NOT_SUPPORTED"),
        ({"items": [line(10**10, 11)]}, "RECEIPT_TOO_LARGE"),
        ({"items": []}, "VALIDATION_FAILED"),
        ({"items": [line(-1)]}, "VALIDATION_FAILED"),
        ({"items": [line(1)] * 501}, "VALIDATION_FAILED"),
    ],
)
async def test_what_no_till_could_report_can_not_be_tried(
    live: Platform, change: dict[str, Any], reason: str
) -> None:
    answer = await live.call("POST", TRY, {"items": [line(100)]} | change, token=live.admin)
    assert (answer.status_code, refusal(answer).reason) == (400, reason)


async def test_any_time_can_be_tried(live: Platform) -> None:
    for sold_at in ("1970-01-01T00:00:00Z", datetime.now(UTC).isoformat(), "2200-01-01T00:00:00Z"):
        assert (await _tried(live, [line(1_000)], sold_at=sold_at))["points"] == 1


async def test_an_unknown_rule_is_404(live: Platform) -> None:
    refused = await live.refused("GET", f"{RULES}/{UNKNOWN}", token=live.admin)
    assert (refused.status, refused.reason, refused.metadata) == (
        404,
        "EARN_RULE_NOT_FOUND",
        {"earn_rule_id": UNKNOWN},
    )
