"""Reads of the earn rules and their sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.paging import Page
from services.points.earning.kinds import from_stored
from services.points.earning.rule_sets import RuleSet
from services.points.earning.terms import Rule


@dataclass(frozen=True)
class RuleRow:
    """An earn rule as staff manage it."""

    rule: Rule
    enabled: bool
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class StoredRuleSet:
    """A set of rules as it is stored."""

    id: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of `earn_rules`."""

    id: UUID
    name: str
    kind: str
    effect: Mapping[str, Any]
    priority: int
    starts_at: datetime | None
    ends_at: datetime | None
    enabled: bool
    version: int
    created_at: datetime
    updated_at: datetime


async def newest_rule_set_id(connection: Connection) -> int:
    """Returns the number of the rules that hold now; 0 when there are none yet."""
    return int(await fetch_value(connection, "SELECT coalesce(max(id), 0) FROM earn_rule_sets"))


async def get_rule_set(connection: Connection, set_id: int) -> RuleSet:
    """Returns a set of rules, which exists."""
    content = await fetch_value(connection, "SELECT content FROM earn_rule_sets WHERE id = %(id)s", id=set_id)
    return RuleSet.from_content(set_id, content)


async def get_rule_sets(connection: Connection, set_ids: Sequence[int]) -> Sequence[RuleSet]:
    """Returns sets of rules, which exist."""
    rows = await fetch_all(
        connection,
        StoredRuleSet,
        "SELECT id, content FROM earn_rule_sets WHERE id = ANY(%(ids)s::bigint[])",
        ids=list(set_ids),
    )
    return [RuleSet.from_content(row.id, row.content) for row in rows]


async def enabled_rules(connection: Connection, *, ends_after: datetime | None = None) -> Sequence[Rule]:
    """Returns the earn rules that are enabled.

    With `ends_after` only those whose window is open then or later.
    """
    rows = await fetch_all(
        connection,
        _Columns,
        """
        SELECT id, name, kind, effect, priority, starts_at, ends_at, enabled, version, created_at, updated_at
        FROM earn_rules
        WHERE enabled AND NOT deleted
          AND (ends_at IS NULL OR %(ends_after)s::timestamptz IS NULL OR ends_at > %(ends_after)s)
        ORDER BY id
        """,
        ends_after=ends_after,
    )
    return [_rule(row) for row in rows]


async def get_earn_rule(connection: Connection, rule_id: UUID) -> RuleRow:
    """Returns an earn rule. Raises EARN_RULE_NOT_FOUND, also for one that was deleted."""
    found = await fetch_first(
        connection,
        _Columns,
        """
        SELECT id, name, kind, effect, priority, starts_at, ends_at, enabled, version, created_at, updated_at
        FROM earn_rules
        WHERE NOT deleted AND id = %(id)s
        """,
        id=rule_id,
    )
    if found is None:
        raise earn_rule_not_found(rule_id)
    return _rule_row(found)


async def lock_earn_rule(connection: Connection, rule_id: UUID) -> RuleRow:
    """Returns an earn rule that nobody else changes until the commit. Raises EARN_RULE_NOT_FOUND."""
    found = await fetch_first(
        connection,
        _Columns,
        """
        SELECT id, name, kind, effect, priority, starts_at, ends_at, enabled, version, created_at, updated_at
        FROM earn_rules
        WHERE NOT deleted AND id = %(id)s
        FOR UPDATE
        """,
        id=rule_id,
    )
    if found is None:
        raise earn_rule_not_found(rule_id)
    return _rule_row(found)


async def list_earn_rules(
    connection: Connection, page: Page, *, enabled: bool | None
) -> tuple[Sequence[RuleRow], str]:
    """Returns a page of the earn rules, the newest first; `enabled` of None is all."""
    rows = await fetch_all(
        connection,
        _Columns,
        """
        SELECT id, name, kind, effect, priority, starts_at, ends_at, enabled, version, created_at, updated_at
        FROM earn_rules
        WHERE NOT deleted
          AND (%(after)s::uuid IS NULL OR id < %(after)s)
          AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
        ORDER BY id DESC
        LIMIT %(limit)s
        """,
        after=page.after(UUID),
        enabled=enabled,
        limit=page.size + 1,
    )
    return page.cut([_rule_row(row) for row in rows], lambda row: row.rule.id)


def earn_rule_not_found(rule_id: UUID) -> DomainError:
    """No such rule, or not any more."""
    return DomainError("EARN_RULE_NOT_FOUND", "no such earn rule", rule_id=rule_id)


def _rule(row: _Columns) -> Rule:
    return Rule(
        id=row.id,
        name=row.name,
        effect=from_stored(row.kind, row.effect),
        priority=row.priority,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


def _rule_row(row: _Columns) -> RuleRow:
    return RuleRow(
        rule=_rule(row),
        enabled=row.enabled,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
