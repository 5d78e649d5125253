"""Reads of what staff changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from services.common.db import Connection, fetch_all
from services.common.paging import Page

_LIST = sql.SQL(
    """
    SELECT id, service, actor_id, actor_role, action, target_id, occurred_at, details
    FROM audit_entries
    WHERE {conditions}
    ORDER BY occurred_at DESC, id DESC LIMIT %(limit)s
    """
)
_ALL = sql.SQL("true")
_CONDITIONS = {
    "actor_id": sql.SQL("actor_id = %(actor_id)s"),
    "action": sql.SQL("action = %(action)s"),
    "target_id": sql.SQL("target_id = %(target_id)s"),
    "service": sql.SQL("service = %(service)s"),
    "since": sql.SQL("occurred_at >= %(since)s"),
    "until": sql.SQL("occurred_at < %(until)s"),
    "at": sql.SQL("(occurred_at, id) < (%(at)s, %(entry_id)s)"),
}
"""A condition for each filter, and for the place where a page begins."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A change made by staff."""

    id: UUID
    service: str
    actor_id: str
    actor_role: str
    action: str
    target_id: str
    occurred_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True)
class AuditFilter:
    """Which changes are wanted; what is empty or absent matches all. `until` itself is not among them."""

    actor_id: str = ""
    action: str = ""
    target_id: str = ""
    service: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def list_audit_entries(
    connection: Connection, page: Page, wanted: AuditFilter
) -> tuple[Sequence[AuditRow], str]:
    """Returns a page of changes made by staff, newest first by the time of the change.

    Only the conditions that matter are in the statement, so that its plan can use the index that serves them.
    """
    values: dict[str, object] = {name: value for name, value in asdict(wanted).items() if value}
    after = page.after(_position)
    if after:
        values |= {"at": after[0], "entry_id": after[1]}
    conditions = [condition for name, condition in _CONDITIONS.items() if name in values]
    statement = _LIST.format(conditions=sql.SQL(" AND ").join(conditions or [_ALL]))
    found = await fetch_all(connection, AuditRow, statement, **values, limit=page.size + 1)
    return page.cut(found, lambda entry: f"{entry.occurred_at.isoformat()} {entry.id}")


def _position(token: str) -> tuple[datetime, UUID]:
    """Raises ValueError."""
    at, _, entry_id = token.partition(" ")
    moment = datetime.fromisoformat(at)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(token)
    return moment, UUID(entry_id)
