"""Earn rules as staff manage them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.points.v1 import earn_effect_pb2, earn_rule_pb2

from services.common.db import execute
from services.common.ids import new_id, utc_now
from services.points.tests.earn_rule_help import DOUBLE_DAIRY, Staff, at, at_once, item, refused_fields
from services.points.tests.support import Points
from tests.inprocess import bearer, eventually, reason, refusal


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule", "P3 EarnRuleService.GetEarnRule")
async def test_a_rule_is_created_and_read_back(staff: Staff) -> None:
    starts_at, ends_at = at(utc_now() + timedelta(days=1)), at(utc_now() + timedelta(days=2))
    made = await staff.create(name="  Dairy week ", priority=-7, starts_at=starts_at, ends_at=ends_at)
    assert (made.name, made.priority, made.enabled) == ("Dairy week", -7, True)
    assert made.multiplier == DOUBLE_DAIRY
    assert (made.starts_at, made.ends_at) == (starts_at, ends_at)
    assert made.created_at == made.updated_at
    assert made.etag
    assert await staff.get(made.id) == made
    disabled = await staff.create(disabled=True)
    assert not disabled.enabled
    assert not disabled.HasField("starts_at")
    assert not disabled.HasField("ends_at")


@pytest.mark.parametrize(
    "effect",
    [
        {"base_rate": earn_effect_pb2.BaseRate(points=3, per_minor=100_000_000_000)},
        {"exclusion": earn_effect_pb2.Exclusion(categories=[f"{n}" for n in range(200)])},
        {"multiplier": earn_effect_pb2.Multiplier(percent=1)},
        {"first_purchase_bonus": earn_effect_pb2.FirstPurchaseBonus(points=1_000_000)},
    ],
)
async def test_every_effect_is_kept_and_can_become_any_other(staff: Staff, effect: dict[str, Any]) -> None:
    [(name, value)] = effect.items()
    made = await staff.create(disabled=True, **effect)
    other = await staff.create(disabled=True)
    changed = await staff.update(other.id, **effect)
    for rule in (made, await staff.get(made.id), changed, await staff.get(other.id)):
        assert rule.WhichOneof("effect") == name
        assert getattr(rule, name) == value


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
async def test_an_update_changes_what_is_given_and_nothing_else(staff: Staff) -> None:
    made = await staff.create(priority=3, starts_at=at(utc_now()), ends_at=at(utc_now() + timedelta(days=1)))
    renamed = await staff.update(made.id, name=" New name ")
    assert renamed.name == "New name"
    assert renamed.etag != made.etag
    assert renamed.updated_at.ToNanoseconds() > made.updated_at.ToNanoseconds()
    for kept in ("multiplier", "priority", "starts_at", "ends_at", "enabled", "created_at"):
        assert getattr(renamed, kept) == getattr(made, kept)
    changed = await staff.update(made.id, priority=0, enabled=False)
    assert (changed.priority, changed.enabled, changed.name) == (0, False, "New name")
    cleared = await staff.update(made.id, clear=["starts_at", "ends_at"])
    assert not cleared.HasField("starts_at")
    assert not cleared.HasField("ends_at")
    assert await staff.get(made.id) == cleared
    for same in (await staff.update(made.id), await staff.update(made.id, priority=0)):
        assert same == cleared, "where nothing is different nothing changes"


async def test_an_update_with_the_etag_read_is_refused_when_somebody_was_faster(staff: Staff) -> None:
    made = await staff.create()
    changed = await staff.update(made.id, etag=made.etag, priority=1)
    late = staff.update(made.id, etag=made.etag, priority=2)
    assert await refusal(late) == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": changed.etag})
    for wrong in ("0", "nonsense", "9" * 60, f" {changed.etag}"):
        assert await reason(staff.update(made.id, etag=wrong, priority=2)) == "ETAG_MISMATCH"
    assert (await staff.get(made.id)).priority == 1
    assert (await staff.update(made.id, etag=changed.etag, priority=3)).priority == 3


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
async def test_of_fifty_updates_with_one_etag_at_once_one_wins(staff: Staff, points: Points) -> None:
    made = await staff.create(disabled=True)
    replies, errors = await at_once(
        staff.update(made.id, etag=made.etag, priority=number, enabled=True) for number in range(1, 51)
    )
    assert len(replies) == 1
    assert len(errors) == 49
    assert {error.code() for error in errors if isinstance(error, grpc.aio.AioRpcError)} == {
        grpc.StatusCode.ABORTED
    }
    assert await staff.get(made.id) == replies[0]
    [(content,)] = await points.rows("SELECT content FROM earn_rule_sets ORDER BY id DESC LIMIT 1")
    assert [(rule["id"], rule["priority"]) for rule in content["rules"]] == [(made.id, replies[0].priority)]


@pytest.mark.covers("P3 EarnRuleService.UpdateEarnRule")
async def test_changes_of_many_at_once_are_all_in_force(staff: Staff, points: Points) -> None:
    made = [await staff.create(disabled=True) for _ in range(20)]
    _, errors = await at_once(
        [
            *(staff.update(rule.id, enabled=True) for rule in made),
            *(staff.create() for _ in range(20)),
        ]
    )
    assert not errors
    [(content,)] = await points.rows("SELECT content FROM earn_rule_sets ORDER BY id DESC LIMIT 1")
    assert sorted(rule["id"] for rule in content["rules"]) == sorted(staff.made)


@pytest.mark.covers("P3 EarnRuleService.DeleteEarnRule")
async def test_a_deleted_rule_is_gone(staff: Staff) -> None:
    made = await staff.create()
    await staff.delete(made.id)
    for call in (staff.get(made.id), staff.update(made.id, priority=1), staff.delete(made.id)):
        found = await refusal(call)
        assert found == ("EARN_RULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"earn_rule_id": made.id})
    assert await reason(staff.update(made.id, etag=made.etag, priority=1)) == "EARN_RULE_NOT_FOUND"
    assert made.id not in [rule.id for rule in (await staff.list(page_size=200)).rules]


@pytest.mark.covers("P3 EarnRuleService.DeleteEarnRule")
async def test_a_rule_is_deleted_with_the_etag_read_only_as_it_was_read(staff: Staff) -> None:
    made = await staff.create(disabled=True)
    changed = await staff.update(made.id, priority=1)
    late = await refusal(staff.delete(made.id, made.etag))
    assert late == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": changed.etag})
    assert await staff.get(made.id) == changed
    await staff.delete(made.id, changed.etag)
    assert await reason(staff.delete(made.id, changed.etag)) == "EARN_RULE_NOT_FOUND"


async def test_of_an_update_and_a_deletion_with_one_etag_at_once_one_wins(staff: Staff) -> None:
    for _ in range(10):
        made = await staff.create(disabled=True)
        _, errors = await at_once(
            [staff.update(made.id, etag=made.etag, priority=1), staff.delete(made.id, made.etag)]
        )
        assert len(errors) == 1


@pytest.mark.covers("P3 EarnRuleService.ListEarnRules")
async def test_rules_are_sorted_by_name_priority_and_time(staff: Staff) -> None:
    mark = str(new_id())
    names = [f"b {mark}", f"C {mark}", f"A {mark}", f"a {mark}"]
    made = [
        (await staff.create(name=name, priority=priority, disabled=True)).id
        for name, priority in zip(names, (5, -5, 5, 0), strict=True)
    ]
    b, c, big_a, small_a = made
    for order_by, expected in {
        "": made[::-1],
        "created_at": made,
        "created_at desc": made[::-1],
        "name": [big_a, small_a, b, c],
        "name desc": [c, b, small_a, big_a],
        "priority": [c, small_a, b, big_a],
        "priority desc": [big_a, b, small_a, c],
    }.items():
        found: list[str] = []
        token = ""
        while True:
            page = await staff.list(order_by=order_by, query=mark, page_size=1, page_token=token)
            found += [rule.id for rule in page.rules]
            if not (token := page.next_page_token):
                break
        assert found == expected, order_by
    assert await refused_fields(staff.list(order_by="enabled")) == {"order_by"}


@pytest.mark.covers("P3 EarnRuleService.ListEarnRules")
async def test_rules_are_found_by_kind_and_by_a_part_of_their_name_and_counted(staff: Staff) -> None:
    mark = str(new_id())
    made: dict[str, dict[str, Any]] = {
        "BASE_RATE": {"base_rate": earn_effect_pb2.BaseRate(points=1, per_minor=100)},
        "EXCLUSION": {"exclusion": earn_effect_pb2.Exclusion(categories=["tobacco"])},
        "MULTIPLIER": {"multiplier": DOUBLE_DAIRY},
        "FIRST_PURCHASE_BONUS": {"first_purchase_bonus": earn_effect_pb2.FirstPurchaseBonus(points=1)},
    }
    for kind, effect in made.items():
        await staff.create(name=f"100 % {kind} {mark}", disabled=True, **effect)
    for kind in made:
        value = earn_rule_pb2.EarnRuleKind.Value(f"EARN_RULE_KIND_{kind}")
        [rule] = (await staff.list(kind=value, query=mark.upper())).rules
        assert rule.name == f"100 % {kind} {mark}"
        [same] = (await staff.list(query=f"0 % {kind.lower()} {mark}")).rules
        assert same == rule
    counted = await staff.list(query=mark, page_size=1, with_total=True)
    assert (len(counted.rules), counted.total.count) == (1, 4)
    assert list((await staff.list(query=f"_{mark}")).rules) == [], "no sign stands for others"
    assert await refused_fields(staff.list(query="a\0")) == {"query"}


async def test_the_longest_names_have_page_tokens_that_are_taken(staff: Staff) -> None:
    mark = str(new_id())
    for sign in ("\N{PILE OF POO}", '"', "\\", "\x07"):
        for _ in range(2):
            made = await staff.create(name=mark, disabled=True)
            # Written as by an earlier version: a new name must not have the last of these signs.
            rename = "UPDATE earn_rules SET name = %(name)s WHERE id = %(id)s"
            await staff.points.database.run(execute, rename, name=sign * 84 + mark, id=made.id)
    token, count = "", 0
    while True:
        page = await staff.list(order_by="name", query=mark, page_size=1, page_token=token)
        count += len(page.rules)
        if not (token := page.next_page_token):
            break
    assert count == 8


@pytest.mark.covers("P3 EarnRuleService.GetEarnRule")
async def test_what_was_never_there_is_not_found(staff: Staff) -> None:
    nobody = str(new_id())
    for call in (staff.get(nobody), staff.update(nobody, priority=1), staff.delete(nobody)):
        assert await reason(call) == "EARN_RULE_NOT_FOUND"


@pytest.mark.covers("P3 EarnRuleService.ListEarnRules")
async def test_rules_are_listed_the_newest_first_and_by_whether_they_are_enabled(staff: Staff) -> None:
    made = [await staff.create(disabled=number % 2 == 0) for number in range(5)]
    newest = [rule.id for rule in reversed(made)]
    assert [rule.id for rule in (await staff.list(page_size=5)).rules] == newest
    enabled = [rule.id for rule in (await staff.list(enabled=True, page_size=2)).rules]
    disabled = [rule.id for rule in (await staff.list(enabled=False, page_size=3)).rules]
    assert enabled == newest[1::2]
    assert disabled == newest[0::2]
    found: list[str] = []
    token = ""
    while len(found) < 5:
        page = await staff.list(page_size=2, page_token=token)
        found += [rule.id for rule in page.rules]
        token = page.next_page_token
    assert found[:5] == newest
    first = await staff.list(page_size=1, enabled=False)
    other = staff.list(page_size=1, enabled=True, page_token=first.next_page_token)
    assert await reason(other) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
async def test_an_idempotency_key_makes_one_rule(staff: Staff) -> None:
    key, name = str(new_id()), f"Once {new_id()}"
    replies, errors = await at_once(staff.create(key=key, name=name) for _ in range(20))
    assert not errors
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    found = await refusal(staff.create(key=key, name="Another"))
    assert found[0] == "IDEMPOTENCY_KEY_REUSED"
    assert [rule.name for rule in (await staff.list(page_size=200)).rules].count(name) == 1


async def test_who_may_do_what(staff: Staff, points: Points) -> None:
    made, platform = await staff.create(), points.platform
    member, till = (await platform.member()).token, await platform.till()
    outsiders = [member, till]
    cashier = await platform.token("cashier")
    for token in [*outsiders, cashier]:
        other = Staff(points, token)
        for call in (other.create(), other.update(made.id, priority=9), other.delete(made.id)):
            assert await reason(call) == "ROLE_NOT_ALLOWED"
    for token in outsiders:
        other = Staff(points, token)
        assert await reason(other.get(made.id)) == "ROLE_NOT_ALLOWED"
        assert await reason(other.list()) == "ROLE_NOT_ALLOWED"
    assert await reason(Staff(points, member).dry_run(item("dairy"))) == "ROLE_NOT_ALLOWED"
    assert await Staff(points, cashier).get(made.id) == made
    for token in (cashier, till):
        assert (await Staff(points, token).dry_run(item("dairy"))).points == 2
    manager = Staff(points, await platform.token("manager"))
    assert (await manager.update(made.id, priority=9)).priority == 9
    await manager.delete(made.id)


TOO_MANY = [f"{n}" for n in range(201)]
LATE, EARLY = at(datetime(2026, 5, 2, tzinfo=UTC)), at(datetime(2026, 5, 1, tzinfo=UTC))


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "\N{NO-BREAK SPACE}"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"priority": 1_000_001}, "priority"),
        ({"priority": -1_000_001}, "priority"),
        ({"multiplier": earn_effect_pb2.Multiplier(percent=0)}, "multiplier.percent"),
        ({"multiplier": earn_effect_pb2.Multiplier(percent=-5)}, "multiplier.percent"),
        ({"multiplier": earn_effect_pb2.Multiplier(percent=10_001)}, "multiplier.percent"),
        (
            {"multiplier": earn_effect_pb2.Multiplier(percent=1, categories=TOO_MANY)},
            "multiplier.categories",
        ),
        (
            {"multiplier": earn_effect_pb2.Multiplier(percent=1, categories=["a", "b\0"])},
            "multiplier.categories[1]",
        ),
        ({"exclusion": earn_effect_pb2.Exclusion()}, "exclusion.categories"),
        ({"exclusion": earn_effect_pb2.Exclusion(categories=TOO_MANY)}, "exclusion.categories"),
        ({"exclusion": earn_effect_pb2.Exclusion(categories=["a", "a"])}, "exclusion.categories"),
        ({"exclusion": earn_effect_pb2.Exclusion(categories=[""])}, "exclusion.categories[0]"),
        ({"exclusion": earn_effect_pb2.Exclusion(categories=["x" * 65])}, "exclusion.categories[0]"),
        ({"base_rate": earn_effect_pb2.BaseRate(points=0, per_minor=1)}, "base_rate.points"),
        ({"base_rate": earn_effect_pb2.BaseRate(points=1, per_minor=0)}, "base_rate.per_minor"),
        ({"base_rate": earn_effect_pb2.BaseRate(points=1_000_001, per_minor=1)}, "base_rate.points"),
        ({"base_rate": earn_effect_pb2.BaseRate(points=1, per_minor=10**11 + 1)}, "base_rate.per_minor"),
        (
            {"first_purchase_bonus": earn_effect_pb2.FirstPurchaseBonus(points=0)},
            "first_purchase_bonus.points",
        ),
        ({"starts_at": timestamp_pb2.Timestamp(seconds=253402300800)}, "starts_at"),
    ],
)
async def test_bad_input_is_refused_with_its_field(staff: Staff, fields: dict[str, Any], named: str) -> None:
    made = await staff.create(disabled=True)
    for call in (staff.create(**fields), staff.update(made.id, **fields)):
        assert await refused_fields(call) == {named}
    assert await staff.get(made.id) == made


async def test_a_window_must_end_after_it_starts(staff: Staff) -> None:
    assert await reason(staff.create(starts_at=LATE, ends_at=EARLY)) == "VALIDATION_FAILED"
    assert await reason(staff.create(starts_at=EARLY, ends_at=EARLY)) == "VALIDATION_FAILED"
    made = await staff.create(starts_at=EARLY, ends_at=LATE)
    assert await refused_fields(staff.update(made.id, starts_at=LATE)) == {"ends_at"}
    assert await refused_fields(staff.update(made.id, ends_at=EARLY)) == {"ends_at"}
    assert await refused_fields(staff.update(made.id, starts_at=LATE, ends_at=EARLY)) == {"ends_at"}
    assert await refused_fields(staff.update(made.id, clear=["ends_at"], ends_at=LATE)) == {"clear"}
    assert await refused_fields(staff.update(made.id, clear=["name"])) == {"clear[0]"}
    open_ended = await staff.update(made.id, starts_at=LATE, clear=["ends_at"])
    assert (open_ended.starts_at, open_ended.HasField("ends_at")) == (LATE, False)


async def test_a_rule_without_an_effect_is_refused(staff: Staff) -> None:
    request = earn_rule_pb2.CreateEarnRuleRequest(name="Nothing")
    call = staff.stub.CreateEarnRule(request, metadata=bearer(staff.token))
    assert await refused_fields(call) == {"request"}
    assert await reason(staff.get("not-an-id")) == "VALIDATION_FAILED"


@pytest.mark.covers("P3 EarnRuleService.DeleteEarnRule")
async def test_every_change_reaches_the_audit_list(staff: Staff, points: Points) -> None:
    crowd = earn_effect_pb2.Exclusion(categories=['"' * 60 + f"{n:04}" for n in range(200)])
    made = await staff.create(name="Dairy week")
    await staff.update(made.id, name="Milk week", priority=5)
    await staff.update(made.id, priority=5)
    await staff.update(made.id, exclusion=crowd)
    await staff.delete(made.id)
    audit = audit_pb2_grpc.AuditServiceStub(points.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=made.id)

    async def listed() -> list[audit_pb2.AuditEntry]:
        page = await audit.ListAuditEntries(request, metadata=bearer(staff.token))
        assert len(page.entries) == 4
        return sorted(page.entries, key=lambda entry: entry.occurred_at.ToNanoseconds())

    entries = await eventually(listed, seconds=10)
    assert [(entry.service, entry.action) for entry in entries] == [
        ("points", "earn_rule.created"),
        ("points", "earn_rule.updated"),
        ("points", "earn_rule.updated"),
        ("points", "earn_rule.deleted"),
    ]
    details = [MessageToDict(entry.details) for entry in entries]
    assert details[0]["effect"] == "200 % for Dairy"
    assert details[1]["name"] == ["Dairy week", "Milk week"]
    assert details[1]["priority"] == [0, 5]
    assert "and 190 more" in str(details[2])

    async def sent() -> None:  # what identity has is taken out of the outbox a moment later
        assert await points.rows("SELECT count(*) FROM outbox") == [(0,)]

    await eventually(sent, seconds=10)
