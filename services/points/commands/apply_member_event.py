"""Hearing of a member's life."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection


async def apply_member_event(
    connection: Connection, *, member_id: UUID, version: int, registered_at: datetime | None
) -> bool:
    """Applies an event unless this version or a later one was; answers whether it did.

    `registered_at` is the moment of registration when the event is that, else None.
    """
    applied = await connection.execute(
        text(
            "INSERT INTO members AS m (member_id, version, registered_at)"
            " VALUES (:member_id, :version, :registered_at) ON CONFLICT (member_id) DO UPDATE SET"
            " version = excluded.version,"
            " registered_at = coalesce(excluded.registered_at, m.registered_at)"
            " WHERE m.version < excluded.version RETURNING 1"
        ),
        {"member_id": member_id, "version": version, "registered_at": registered_at},
    )
    return applied.first() is not None
