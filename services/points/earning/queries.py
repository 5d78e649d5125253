"""Reads of the earn rules and their sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page
from services.points.earning.earning import Rule, RuleSet

_RULE = ("id", "name", "kind", "effect", "priority", "starts_at", "ends_at")
RULE_COLUMNS = (*_RULE, "enabled", "version", "created_at", "updated_at")
_RULE_ROW = f"SELECT {', '.join(RULE_COLUMNS)} FROM earn_rules WHERE NOT deleted"  # noqa: S608  # constants


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

    @classmethod
    def of(cls, columns: Sequence[Any]) -> RuleRow:
        """From the values of RULE_COLUMNS."""
        return cls(Rule(*columns[: len(_RULE)]), *columns[len(_RULE) :])


async def newest_rule_set_id(connection: Connection) -> int:
    """The number of the rules that hold now; 0 when there are none yet."""
    result = await connection.execute(text("SELECT coalesce(max(id), 0) FROM earn_rule_sets"))
    return int(result.scalar_one())


async def get_rule_set(connection: Connection, set_id: int) -> RuleSet:
    """A set of rules, which exists."""
    result = await connection.execute(
        text("SELECT content FROM earn_rule_sets WHERE id = :id"), {"id": set_id}
    )
    return RuleSet.from_content(set_id, result.scalar_one())


async def enabled_rules(connection: Connection, *, ends_after: datetime | None = None) -> Sequence[Rule]:
    """The earn rules that are enabled; with `ends_after` only those whose window is open then or later."""
    result = await connection.execute(
        text(
            f"SELECT {', '.join(_RULE)} FROM earn_rules WHERE enabled AND NOT deleted"  # noqa: S608  # constants
            " AND (ends_at IS NULL OR CAST(:ends_after AS timestamptz) IS NULL OR ends_at > :ends_after)"
            " ORDER BY id"
        ),
        {"ends_after": ends_after},
    )
    return [Rule(*row) for row in result]


async def get_earn_rule(connection: Connection, rule_id: UUID) -> RuleRow:
    """An earn rule. Raises EARN_RULE_NOT_FOUND, also for one that was deleted."""
    result = await connection.execute(text(f"{_RULE_ROW} AND id = :id"), {"id": rule_id})
    row = result.first()
    if row is None:
        raise earn_rule_not_found(rule_id)
    return RuleRow.of(row)


async def list_earn_rules(
    connection: Connection, page: Page, *, enabled: bool | None
) -> tuple[Sequence[RuleRow], str]:
    """A page of the earn rules, the newest first; `enabled` of None is all."""
    result = await connection.execute(
        text(
            f"{_RULE_ROW} AND (CAST(:after AS uuid) IS NULL OR id < :after)"
            " AND (CAST(:enabled AS boolean) IS NULL OR enabled = :enabled) ORDER BY id DESC LIMIT :limit"
        ),
        {"after": page.after(UUID), "enabled": enabled, "limit": page.size + 1},
    )
    return page.cut([RuleRow.of(row) for row in result], lambda row: row.rule.id)


def earn_rule_not_found(rule_id: UUID) -> DomainError:
    """No such rule, or not any more."""
    return DomainError("EARN_RULE_NOT_FOUND", "no such earn rule", rule_id=rule_id)
