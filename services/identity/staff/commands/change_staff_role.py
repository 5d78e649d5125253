"""Giving staff another role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.sessions import end_sessions
from services.identity.staff.commands.staff_changes import ANOTHER_ADMIN, ChangedStaff, last_admin, lock_staff
from services.identity.staff.queries import get_staff


async def change_staff_role(
    connection: Connection, *, actor: Caller, staff_id: UUID, role: str
) -> ChangedStaff:
    """Gives staff another role and ends their logins; the role that they have changes nothing.

    Raises STAFF_NOT_FOUND and LAST_ADMIN.
    """
    await lock_staff(connection)
    changed = await connection.execute(
        text(
            "UPDATE staff SET role = :role FROM staff before JOIN accounts a ON a.id = before.id"  # noqa: S608  # a constant
            " WHERE staff.id = :id AND before.id = :id AND before.role <> :role"
            f" AND (before.role <> 'admin' OR a.status <> 'ACTIVE' OR {ANOTHER_ADMIN})"
            " RETURNING before.role"
        ),
        {"id": staff_id, "role": role},
    )
    old_role = changed.scalar_one_or_none()
    staff = await get_staff(connection, staff_id)
    if staff.role != role:
        raise last_admin()
    if old_role is None:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.role_changed", staff_id, old_role=old_role, role=role)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)
