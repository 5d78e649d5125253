"""Letting staff log in, or no more."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.sessions import end_sessions, session_state
from services.identity.staff.commands.staff_changes import ANOTHER_ADMIN, ChangedStaff, last_admin, lock_staff
from services.identity.staff.queries import get_staff


async def disable_staff(connection: Connection, *, actor: Caller, staff_id: UUID) -> ChangedStaff:
    """Suspends an account and ends its logins. Raises STAFF_NOT_FOUND and LAST_ADMIN."""
    await lock_staff(connection)
    changed = await connection.execute(
        text(
            "UPDATE accounts SET status = 'SUSPENDED' FROM staff"  # noqa: S608  # a constant
            " WHERE accounts.id = :id AND staff.id = :id AND status = 'ACTIVE'"
            f" AND (staff.role <> 'admin' OR {ANOTHER_ADMIN}) RETURNING 1"
        ),
        {"id": staff_id},
    )
    staff = await get_staff(connection, staff_id)
    if staff.enabled:
        raise last_admin()
    if changed.first() is None:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.disabled", staff_id)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)


async def enable_staff(connection: Connection, *, actor: Caller, staff_id: UUID) -> ChangedStaff:
    """Makes an account active again. Raises STAFF_NOT_FOUND."""
    await lock_staff(connection)
    changed = await connection.execute(
        text(
            "UPDATE accounts SET status = 'ACTIVE', session_version = session_version + 1"
            " WHERE id = :id AND kind = 'STAFF' AND status = 'SUSPENDED' RETURNING 1"
        ),
        {"id": staff_id},
    )
    staff = await get_staff(connection, staff_id)
    if changed.first() is None:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.enabled", staff_id)
    return ChangedStaff(staff, await session_state(connection, staff_id))
