"""Making, changing and deleting earn rules, and putting those that are enabled in force."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first, fetch_one, fetch_value
from services.common.errors import DomainError
from services.common.etags import require_etag
from services.common.ids import new_id, utc_now
from services.points.earning import queries
from services.points.earning.kinds import Effect, Rate, describe, to_stored
from services.points.earning.queries import RuleRow, StoredRuleSet
from services.points.earning.rule_sets import RuleSet
from services.points.programme import MAX_AGE

MOST_RULES = 500
"""Rules that may be enabled at a time; those whose window closed too long ago for any sale do not count."""

_OVER_FOR = MAX_AGE + timedelta(days=1)


@dataclass(frozen=True)
class NewRule:
    """A rule as staff want it."""

    name: str
    effect: Effect
    priority: int
    starts_at: datetime | None
    ends_at: datetime | None
    enabled: bool


@dataclass(frozen=True)
class RuleChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    effect: Effect | None = None
    priority: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    enabled: bool | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: RuleRow) -> RuleRow:
        """Returns the rule as it shall be."""
        rule = row.rule
        return replace(
            row,
            rule=replace(
                rule,
                name=rule.name if self.name is None else self.name,
                effect=self.effect or rule.effect,
                priority=rule.priority if self.priority is None else self.priority,
                starts_at=None if "starts_at" in self.clear else self.starts_at or rule.starts_at,
                ends_at=None if "ends_at" in self.clear else self.ends_at or rule.ends_at,
            ),
            enabled=row.enabled if self.enabled is None else self.enabled,
        )


async def create_earn_rule(connection: Connection, *, actor: Caller, new: NewRule) -> RuleRow:
    """Makes a rule and, when it is enabled, puts it in force.

    Raises TOO_MANY_EARN_RULES, and VALIDATION_FAILED (by constraint) for a window that ends before it
    starts.
    """
    rule_id = new_id()
    kind, figures = to_stored(new.effect)
    await execute(
        connection,
        """
        INSERT INTO earn_rules (id, name, kind, effect, priority, starts_at, ends_at, enabled)
        VALUES (%(id)s, %(name)s, %(kind)s, %(effect)s, %(priority)s, %(starts_at)s, %(ends_at)s, %(enabled)s)
        """,
        id=rule_id,
        name=new.name,
        kind=kind,
        effect=Jsonb(figures),
        priority=new.priority,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        enabled=new.enabled,
    )
    await publish_rules(connection)
    await audit.record(
        connection,
        actor,
        "earn_rule.created",
        rule_id,
        name=new.name,
        effect=describe(new.effect),
        priority=new.priority,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        enabled=new.enabled,
    )
    return await queries.get_earn_rule(connection, rule_id)


@dataclass(frozen=True, slots=True)
class _Changed:
    version: int
    updated_at: datetime


async def update_earn_rule(
    connection: Connection, *, actor: Caller, rule_id: UUID, etag: str, changes: RuleChanges
) -> RuleRow:
    """Changes a rule and what is in force; where nothing is different, nothing is audited either.

    An `etag` is that of the rule as the caller read it; without one it is changed whatever it is now.
    Raises EARN_RULE_NOT_FOUND, ETAG_MISMATCH, TOO_MANY_EARN_RULES, and VALIDATION_FAILED (by constraint)
    for a window that ends before it starts.
    """
    before = await queries.lock_earn_rule(connection, rule_id)
    require_etag(etag, before.etag, of="rule")
    after = changes.applied_to(before)
    if after == before:
        return before
    kind, figures = to_stored(after.rule.effect)
    changed = await fetch_one(
        connection,
        _Changed,
        """
        UPDATE earn_rules SET
          name = %(name)s,
          kind = %(kind)s,
          effect = %(effect)s,
          priority = %(priority)s,
          starts_at = %(starts_at)s,
          ends_at = %(ends_at)s,
          enabled = %(enabled)s,
          version = version + 1,
          updated_at = now()
        WHERE id = %(id)s
        RETURNING version, updated_at
        """,
        id=rule_id,
        name=after.rule.name,
        kind=kind,
        effect=Jsonb(figures),
        priority=after.rule.priority,
        starts_at=after.rule.starts_at,
        ends_at=after.rule.ends_at,
        enabled=after.enabled,
    )
    after = replace(after, version=changed.version, updated_at=changed.updated_at)
    await publish_rules(connection)
    was, now = _audited(before), _audited(after)
    different = {field: [was[field], now[field]] for field in now if was[field] != now[field]}
    await audit.record(connection, actor, "earn_rule.updated", rule_id, **different)
    return after


async def delete_earn_rule(connection: Connection, *, actor: Caller, rule_id: UUID, etag: str) -> None:
    """Takes a rule out of force for ever. Its row stays, for purchases were judged by it.

    Raises EARN_RULE_NOT_FOUND, and ETAG_MISMATCH when it is not as the caller read it.
    """
    row = await queries.lock_earn_rule(connection, rule_id)
    require_etag(etag, row.etag, of="earn rule")
    await execute(
        connection,
        """
        UPDATE earn_rules SET deleted = true, version = version + 1, updated_at = now() WHERE id = %(id)s
        """,
        id=rule_id,
    )
    await publish_rules(connection)
    await audit.record(connection, actor, "earn_rule.deleted", rule_id, name=row.rule.name)


async def publish_rules(connection: Connection, default: Rate | None = None) -> RuleSet:
    """Has all enabled rules in force from now on; returns them. `default` is the programme's rate, if it
    changed.

    Every change of a rule ends in this, in its own transaction, after its change: another that publishes at
    the same time waits, and then sees that change. Where nothing is different nothing is written. Raises
    TOO_MANY_EARN_RULES.
    """
    await execute(connection, "LOCK TABLE earn_rule_sets IN SHARE ROW EXCLUSIVE MODE")
    newest = await fetch_first(
        connection, StoredRuleSet, "SELECT id, content FROM earn_rule_sets ORDER BY id DESC LIMIT 1"
    )
    if default is None:
        assert newest is not None, "the service publishes when it starts"
        default = RuleSet.from_content(newest.id, newest.content).default
    rules = await queries.enabled_rules(connection, ends_after=utc_now() - _OVER_FOR)
    if len(rules) > MOST_RULES:
        raise DomainError(
            "TOO_MANY_EARN_RULES", f"at most {MOST_RULES} rules may be enabled at a time", limit=MOST_RULES
        )
    content = RuleSet(0, default, rules).content()
    if newest and newest.content == content:
        return RuleSet(newest.id, default, rules)
    set_id = await fetch_value(
        connection,
        "INSERT INTO earn_rule_sets (content) VALUES (%(content)s) RETURNING id",
        content=Jsonb(content),
    )
    return RuleSet(set_id, default, rules)


def _audited(row: RuleRow) -> dict[str, object]:
    """Returns a rule as audit entries hold it; two effects that read alike differ by their version."""
    rule = row.rule
    return {
        "name": rule.name,
        "effect": describe(rule.effect),
        "priority": rule.priority,
        "starts_at": rule.starts_at,
        "ends_at": rule.ends_at,
        "enabled": row.enabled,
        "version": row.version,
    }
