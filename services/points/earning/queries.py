"""Reads of the earn rules and their sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_bigint, parse_moment
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
class StoredRule:
    """An earn rule as it is stored."""

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
        StoredRule,
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
        StoredRule,
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
        StoredRule,
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


@dataclass(frozen=True, slots=True)
class ListedRule(StoredRule):
    """An earn rule in a list, with what it is sorted by when that is the name."""

    sorted_name: str

    @property
    def rule_row(self) -> RuleRow:
        """The rule."""
        return _rule_row(self)


def _parse_name(text: str) -> str:
    """Returns the name in a page token. Raises ValueError unless the database can hold it."""
    if "\0" in text:
        raise ValueError(text)
    return text


# Names are sorted by their beginning, so that a page token stays short.
EARN_RULES = Listing(
    row=ListedRule,
    columns="""
    r.id, r.name, r.kind, r.effect, r.priority, r.starts_at, r.ends_at, r.enabled, r.version, r.created_at,
    r.updated_at, left(lower(r.name), 40) AS sorted_name
    """,
    source="earn_rules r",
    filters={
        "enabled": "r.enabled = %(enabled)s",
        "kind": "r.kind = %(kind)s",
        "query": "strpos(lower(r.name), lower(%(query)s)) > 0",
    },
    keys={
        "name": SortKey("left(lower(r.name), 40)", "sorted_name", _parse_name),
        "created_at": SortKey("r.created_at", "created_at", parse_moment),
        "priority": SortKey("r.priority", "priority", parse_bigint),
    },
    key=SortKey("r.id", "id", UUID),
    default_order="created_at desc",
    always="NOT r.deleted",
)
"""Earn rules. Staff make them by hand: there are never so many that their list needs an index."""


def earn_rule_not_found(rule_id: UUID) -> DomainError:
    """No such rule, or not any more."""
    return DomainError("EARN_RULE_NOT_FOUND", "no such earn rule", earn_rule_id=rule_id)


def _rule(row: StoredRule) -> Rule:
    return Rule(
        id=row.id,
        name=row.name,
        effect=from_stored(row.kind, row.effect),
        priority=row.priority,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


def _rule_row(row: StoredRule) -> RuleRow:
    return RuleRow(
        rule=_rule(row),
        enabled=row.enabled,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
