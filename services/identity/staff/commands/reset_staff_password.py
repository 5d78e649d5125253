"""Giving staff a new first password."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.sessions import EndedSessions, end_sessions
from services.identity.staff.queries import get_staff


async def reset_staff_password(
    connection: Connection, *, actor: Caller, staff_id: UUID, password_hash: str
) -> EndedSessions:
    """Sets the password of staff and ends their logins. Raises STAFF_NOT_FOUND."""
    staff = await get_staff(connection, staff_id)
    await connection.execute(
        text("UPDATE accounts SET password_hash = :hash WHERE id = :id"),
        {"id": staff.id, "hash": password_hash},
    )
    await record_own(connection, actor, "staff.password_reset", staff_id)
    return await end_sessions(connection, account_id=staff_id)
