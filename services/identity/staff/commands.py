"""What changes who works for the retailer, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.sessions import SessionState
from services.identity.accounts import set_password_hash
from services.identity.audit import record_own
from services.identity.sessions import EndedSessions, end_sessions, session_state
from services.identity.staff.queries import StaffRow, get_staff
from services.identity.staff.statements import (
    insert_first_admin,
    insert_staff,
    lock_staff,
    reactivate,
    set_role,
    suspend,
)


@dataclass(frozen=True)
class ChangedStaff:
    """The staff after a change, and who is logged in now if that changed."""

    staff: StaffRow
    logins: SessionState | None


async def bootstrap_admin(connection: Connection, *, user_name: str, password_hash: str) -> bool:
    """Makes the first admin unless there is staff already; returns whether it did."""
    return await insert_first_admin(
        connection, new_id(), user_name=user_name.lower(), password_hash=password_hash
    )


async def create_staff(
    connection: Connection, *, actor: Caller, user_name: str, full_name: str, role: str, password_hash: str
) -> StaffRow:
    """Makes an account. `user_name` is in small letters. Raises USER_NAME_TAKEN (by constraint)."""
    staff_id = new_id()
    await insert_staff(
        connection,
        staff_id,
        user_name=user_name,
        full_name=full_name,
        role=role,
        password_hash=password_hash,
    )
    await record_own(connection, actor, "staff.created", staff_id, user_name=user_name, role=role)
    return await get_staff(connection, staff_id)


async def change_staff_role(
    connection: Connection, *, actor: Caller, staff_id: UUID, role: str
) -> ChangedStaff:
    """Gives staff another role and ends their logins; the role that they have changes nothing.

    Raises STAFF_NOT_FOUND and LAST_ADMIN.
    """
    await lock_staff(connection)
    old_role = await set_role(connection, staff_id, role)
    staff = await get_staff(connection, staff_id)
    if staff.role != role:
        raise _last_admin()
    if old_role is None:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.role_changed", staff_id, old_role=old_role, role=role)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)


async def reset_staff_password(
    connection: Connection, *, actor: Caller, staff_id: UUID, password_hash: str
) -> EndedSessions:
    """Sets the password of staff and ends their logins. Raises STAFF_NOT_FOUND."""
    staff = await get_staff(connection, staff_id)
    await set_password_hash(connection, staff.id, password_hash)
    await record_own(connection, actor, "staff.password_reset", staff_id)
    return await end_sessions(connection, account_id=staff_id)


async def disable_staff(connection: Connection, *, actor: Caller, staff_id: UUID) -> ChangedStaff:
    """Suspends an account and ends its logins. Raises STAFF_NOT_FOUND and LAST_ADMIN."""
    await lock_staff(connection)
    suspended = await suspend(connection, staff_id)
    staff = await get_staff(connection, staff_id)
    if staff.enabled:
        raise _last_admin()
    if not suspended:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.disabled", staff_id)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)


async def enable_staff(connection: Connection, *, actor: Caller, staff_id: UUID) -> ChangedStaff:
    """Makes an account active again. Raises STAFF_NOT_FOUND."""
    await lock_staff(connection)
    reactivated = await reactivate(connection, staff_id)
    staff = await get_staff(connection, staff_id)
    if not reactivated:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.enabled", staff_id)
    return ChangedStaff(staff, await session_state(connection, staff_id))


def _last_admin() -> DomainError:
    return DomainError("LAST_ADMIN", "this is the last active admin; make another one first")
