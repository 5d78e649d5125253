"""Reads of what staff changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.paging import Page


@dataclass(frozen=True)
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

    def conditions(self) -> list[tuple[str, dict[str, object]]]:
        """The conditions that matter, each with its values.

        Only these are in the statement, so that its plan can use the index that serves them.
        """
        equal = {
            "actor_id": self.actor_id,
            "action": self.action,
            "target_id": self.target_id,
            "service": self.service,
        }
        wanted: list[tuple[str, dict[str, object]]] = [
            (f"{column} = :{column}", {column: value}) for column, value in equal.items() if value
        ]
        if self.since:
            wanted.append(("occurred_at >= :since", {"since": self.since}))
        if self.until:
            wanted.append(("occurred_at < :until", {"until": self.until}))
        return wanted


async def list_audit_entries(
    connection: Connection, page: Page, wanted: AuditFilter
) -> tuple[Sequence[AuditRow], str]:
    """A page of changes made by staff, newest first by the time of the change."""
    conditions = wanted.conditions()
    after = page.after(_position)
    if after:
        at, entry_id = after
        conditions.append(("(occurred_at, id) < (:at, :id)", {"at": at, "id": entry_id}))
    values: dict[str, object] = {"limit": page.size + 1}
    for _, more in conditions:
        values |= more
    where = " AND ".join(condition for condition, _ in conditions) or "true"
    result = await connection.execute(
        text(
            "SELECT id, service, actor_id, actor_role, action, target_id, occurred_at, details"  # noqa: S608  # of constants
            f" FROM audit_entries WHERE {where} ORDER BY occurred_at DESC, id DESC LIMIT :limit"
        ),
        values,
    )
    return page.cut(
        [AuditRow(*row) for row in result], lambda entry: f"{entry.occurred_at.isoformat()} {entry.id}"
    )


def _position(token: str) -> tuple[datetime, UUID]:
    """Raises ValueError."""
    at, _, entry_id = token.partition(" ")
    moment = datetime.fromisoformat(at)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(token)
    return moment, UUID(entry_id)
