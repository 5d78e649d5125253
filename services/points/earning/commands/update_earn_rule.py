"""Changing an earn rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.points.earning import queries as earn_rules
from services.points.earning.commands.publish_rules import publish_rules
from services.points.earning.queries import RuleRow

_NEW = {
    "name": "coalesce(:name, r.name)",
    "kind": "coalesce(:kind, r.kind)",
    "effect": "coalesce(CAST(:effect AS jsonb), r.effect)",
    "priority": "coalesce(CAST(:priority AS int), r.priority)",
    "starts_at": "CASE WHEN 'starts_at' = ANY(:clear) THEN NULL"
    " ELSE coalesce(CAST(:starts_at AS timestamptz), r.starts_at) END",
    "ends_at": "CASE WHEN 'ends_at' = ANY(:clear) THEN NULL"
    " ELSE coalesce(CAST(:ends_at AS timestamptz), r.ends_at) END",
    "enabled": "coalesce(CAST(:enabled AS boolean), r.enabled)",
}
_CHANGED = "({}) IS DISTINCT FROM ({})".format(
    ", ".join(f"r.{column}" for column in _NEW), ", ".join(_NEW.values())
)
_UPDATE = (
    f"UPDATE earn_rules r SET {', '.join(f'{column} = {value}' for column, value in _NEW.items())},"  # noqa: S608  # constants
    f" version = r.version + ({_CHANGED})::int,"
    f" updated_at = CASE WHEN {_CHANGED} THEN now() ELSE r.updated_at END"
    " WHERE r.id = :id AND NOT r.deleted AND (:etag = '' OR CAST(r.version AS text) = :etag)"
    f" RETURNING {', '.join(f'old.{column}' for column in earn_rules.RULE_COLUMNS)},"
    f" {', '.join(f'new.{column}' for column in earn_rules.RULE_COLUMNS)}"
)


@dataclass(frozen=True)
class RuleChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    kind: str | None = None
    effect: Mapping[str, Any] | None = None
    priority: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    enabled: bool | None = None
    clear: Sequence[str] = ()


async def update_earn_rule(
    connection: Connection, *, actor: Caller, rule_id: UUID, etag: str, changes: RuleChanges
) -> RuleRow:
    """Changes a rule and what is in force; where nothing is different, nothing is audited either.

    An `etag` is that of the rule as the caller read it; without one it is changed whatever it is now.
    Raises EARN_RULE_NOT_FOUND, ETAG_MISMATCH, TOO_MANY_EARN_RULES, and VALIDATION_FAILED (by constraint)
    for a window that ends before it starts.
    """
    result = await connection.execute(
        text(_UPDATE),
        {
            **vars(changes),
            "effect": None if changes.effect is None else orjson.dumps(changes.effect).decode(),
            "clear": list(changes.clear),
            "id": rule_id,
            "etag": etag,
        },
    )
    found = result.first()
    if found is None:
        present = await earn_rules.get_earn_rule(connection, rule_id)
        message = "somebody changed the rule meanwhile; read it again"
        raise DomainError("ETAG_MISMATCH", message, etag=present.etag)
    width = len(earn_rules.RULE_COLUMNS)
    before, after = RuleRow.of(found[:width]), RuleRow.of(found[width:])
    if before.version == after.version:
        return after
    await publish_rules(connection)
    was, now = _told(before), _told(after)
    changed = {field: [was[field], now[field]] for field in now if was[field] != now[field]}
    await audit.record(connection, actor, "earn_rule.updated", rule_id, **changed)
    return after


def _told(row: RuleRow) -> dict[str, object]:
    """A rule as the audit list tells of it; two effects that read alike are told apart by their version."""
    rule = row.rule
    return {
        "name": rule.name,
        "effect": rule.words,
        "priority": rule.priority,
        "starts_at": rule.starts_at,
        "ends_at": rule.ends_at,
        "enabled": row.enabled,
        "version": row.version,
    }
