"""Hearing of members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection

_STATUS_AFTER = {"SUSPENDED": "SUSPENDED", "RESTORED": "ACTIVE", "CLOSED": "CLOSED"}


async def apply_member_event(
    connection: Connection, *, member_id: UUID, version: int, event: str, occurred_at: datetime | None
) -> bool:
    """Applies an event unless this version or a later one was; answers whether it was new.

    `event` is a name of MemberEventType without its prefix. Nothing personal is kept here, so closing
    an account erases nothing; orders that are under way are finished by their rules, and what was
    bought stays with the member's id.
    """
    applied = await connection.execute(
        text(
            "INSERT INTO members AS m (member_id, version, registered_at, status)"
            " VALUES (:member_id, :version, :registered_at, coalesce(:status, 'ACTIVE'))"
            " ON CONFLICT (member_id) DO UPDATE SET version = excluded.version,"
            " registered_at = coalesce(m.registered_at, excluded.registered_at),"
            " status = coalesce(:status, m.status)"
            " WHERE m.version < excluded.version AND m.status <> 'CLOSED' RETURNING 1"
        ),
        {
            "member_id": member_id,
            "version": version,
            "registered_at": occurred_at if event == "REGISTERED" else None,
            "status": _STATUS_AFTER.get(event),
        },
    )
    return applied.first() is not None
