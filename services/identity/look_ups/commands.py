"""Keeping who looked members up, for a while."""

from __future__ import annotations

from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection, execute


async def record_look_up(
    connection: Connection, *, look_up_id: UUID, actor: Caller, member_id: UUID, method: str
) -> None:
    """Keeps a look-up, once by its id. `method` is PHONE or MEMBER_CODE."""
    await execute(
        connection,
        """
        INSERT INTO look_ups (id, caller_id, caller_role, member_id, method)
        VALUES (%(id)s, %(caller_id)s, %(caller_role)s, %(member_id)s, %(method)s)
        ON CONFLICT (id) DO NOTHING
        """,
        id=look_up_id,
        caller_id=actor.id,
        caller_role=actor.role,
        member_id=member_id,
        method=method,
    )


async def forget_old_look_ups(connection: Connection) -> int:
    """Removes up to 1,000 look-ups that are over 90 days old; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM look_ups WHERE id IN (
          SELECT id FROM look_ups WHERE looked_up_at < now() - interval '90 days'
          ORDER BY looked_up_at LIMIT 1000
        )
        """,
    )
