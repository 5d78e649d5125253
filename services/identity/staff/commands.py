"""What changes who works for the retailer, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.caller import BRAND_MANAGER, Caller
from services.common.db import Connection
from services.common.errors import DomainError, invalid_field
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.sessions import SessionState
from services.identity.accounts import lock_account, set_password_hash
from services.identity.audit import record_own
from services.identity.sessions import EndedSessions, end_sessions, forget_devices, session_state
from services.identity.staff.queries import StaffRow, get_staff
from services.identity.staff.statements import (
    change_staff,
    erase,
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
    connection: Connection,
    *,
    actor: Caller,
    user_name: str,
    full_name: str,
    role: str,
    brand_id: UUID | None = None,
    password_hash: str,
) -> StaffRow:
    """Makes an account. `user_name` is in small letters.

    Raises VALIDATION_FAILED for a brand manager without a brand and for others with one, and USER_NAME_TAKEN
    (by constraint).
    """
    require_brand_of_role(role, brand_id)
    staff_id = new_id()
    await insert_staff(
        connection,
        staff_id,
        user_name=user_name,
        full_name=full_name,
        role=role,
        brand_id=brand_id,
        password_hash=password_hash,
    )
    brand = {"brand_id": str(brand_id)} if brand_id else {}
    await record_own(connection, actor, "staff.created", staff_id, user_name=user_name, role=role, **brand)
    return await get_staff(connection, staff_id)


@dataclass(frozen=True)
class StaffChanges:
    """What shall be otherwise; None stays as it is. `user_name` is in small letters."""

    full_name: str | None = None
    user_name: str | None = None
    brand_id: UUID | None = None


async def update_staff(
    connection: Connection, *, actor: Caller, staff_id: UUID, etag: str, changes: StaffChanges
) -> ChangedStaff:
    """Changes names and brand of staff; where nothing is different, nothing is audited either.

    Another brand ends their logins, for tokens carry it. The audit list tells user name and brand before and
    after, and of the other name only that it changed, for the list outlives the account.

    Raises STAFF_NOT_FOUND, ETAG_MISMATCH, VALIDATION_FAILED for the brand of staff of another role, and
    USER_NAME_TAKEN (by constraint).
    """
    await lock_staff(connection)
    before = await _locked(connection, staff_id, etag)
    full_name, user_name = changes.full_name or before.full_name, changes.user_name or before.user_name
    if changes.brand_id:
        require_brand_of_role(before.role, changes.brand_id)
    brand_id = changes.brand_id or before.brand_id
    details: dict[str, object] = {}
    if full_name != before.full_name:
        details["full_name_changed"] = True
    if user_name != before.user_name:
        details["user_name"] = [before.user_name, user_name]
    if brand_id != before.brand_id:
        details["brand_id"] = [str(before.brand_id or ""), str(brand_id)]
    if not details:
        return ChangedStaff(before, None)
    await change_staff(connection, staff_id, full_name=full_name, user_name=user_name, brand_id=brand_id)
    await record_own(connection, actor, "staff.updated", staff_id, **details)
    logins = None
    if brand_id != before.brand_id:
        logins = (await end_sessions(connection, account_id=staff_id)).logins
    return ChangedStaff(await get_staff(connection, staff_id), logins)


async def delete_staff(
    connection: Connection, *, actor: Caller, staff_id: UUID, etag: str = ""
) -> EndedSessions:
    """Erases who staff were and ends their logins; what they did stays in the audit list under their id.

    Raises STAFF_NOT_FOUND, LAST_ADMIN and ETAG_MISMATCH.
    """
    await lock_staff(connection)
    staff = await _locked(connection, staff_id, etag)
    if not await erase(connection, staff_id):
        raise _last_admin()
    await record_own(connection, actor, "staff.deleted", staff_id, role=staff.role)
    ended = await end_sessions(connection, account_id=staff_id)
    await forget_devices(connection, staff_id)
    return ended


async def change_staff_role(
    connection: Connection,
    *,
    actor: Caller,
    staff_id: UUID,
    role: str,
    brand_id: UUID | None = None,
    etag: str = "",
) -> ChangedStaff:
    """Gives staff another role, with its brand, and ends their logins; what they have changes nothing.

    Raises STAFF_NOT_FOUND, LAST_ADMIN, ETAG_MISMATCH, and VALIDATION_FAILED for a brand manager without a
    brand and for others with one.
    """
    require_brand_of_role(role, brand_id)
    await _lock(connection, staff_id, etag)
    old_role = await set_role(connection, staff_id, role, brand_id)
    staff = await get_staff(connection, staff_id)
    if staff.role != role:
        raise _last_admin()
    if old_role is None:
        return ChangedStaff(staff, None)
    brand = {"brand_id": str(brand_id)} if brand_id else {}
    await record_own(connection, actor, "staff.role_changed", staff_id, old_role=old_role, role=role, **brand)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)


async def reset_staff_password(
    connection: Connection, *, actor: Caller, staff_id: UUID, password_hash: str, etag: str = ""
) -> ChangedStaff:
    """Sets the password of staff and ends their logins. Raises STAFF_NOT_FOUND and ETAG_MISMATCH."""
    await _locked(connection, staff_id, etag)
    await set_password_hash(connection, staff_id, password_hash)
    await record_own(connection, actor, "staff.password_reset", staff_id)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(await get_staff(connection, staff_id), ended.logins)


async def disable_staff(
    connection: Connection, *, actor: Caller, staff_id: UUID, etag: str = ""
) -> ChangedStaff:
    """Suspends an account and ends its logins. Raises STAFF_NOT_FOUND, LAST_ADMIN and ETAG_MISMATCH."""
    await _lock(connection, staff_id, etag)
    suspended = await suspend(connection, staff_id)
    staff = await get_staff(connection, staff_id)
    if staff.enabled:
        raise _last_admin()
    if not suspended:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.disabled", staff_id)
    ended = await end_sessions(connection, account_id=staff_id)
    return ChangedStaff(staff, ended.logins)


async def enable_staff(
    connection: Connection, *, actor: Caller, staff_id: UUID, etag: str = ""
) -> ChangedStaff:
    """Makes an account active again. Raises STAFF_NOT_FOUND and ETAG_MISMATCH."""
    await _lock(connection, staff_id, etag)
    reactivated = await reactivate(connection, staff_id)
    staff = await get_staff(connection, staff_id)
    if not reactivated:
        return ChangedStaff(staff, None)
    await record_own(connection, actor, "staff.enabled", staff_id)
    return ChangedStaff(staff, await session_state(connection, staff_id))


async def _locked(connection: Connection, staff_id: UUID, etag: str) -> StaffRow:
    """Returns staff as the caller read them, and keeps them from changing until this transaction ends.

    Where the table is locked too, it is locked before: the other way round two would wait for each other.
    Raises STAFF_NOT_FOUND and ETAG_MISMATCH.
    """
    await lock_account(connection, staff_id)
    staff = await get_staff(connection, staff_id)
    require_etag(etag, staff.etag, of="staff")
    return staff


async def _lock(connection: Connection, staff_id: UUID, etag: str) -> None:
    """Locks the table, and the row only if there is an etag: who waits for the table waits for less.

    Raises STAFF_NOT_FOUND and ETAG_MISMATCH.
    """
    await lock_staff(connection)
    if etag:
        await _locked(connection, staff_id, etag)


def require_brand_of_role(role: str, brand_id: UUID | None) -> None:
    """Raises VALIDATION_FAILED for a brand manager without a brand, and for others with one.

    Whether there is such a brand is for promos to say (`brands.py`).
    """
    if role == BRAND_MANAGER and brand_id is None:
        raise invalid_field("brand_id", "is required for a brand manager")
    if role != BRAND_MANAGER and brand_id is not None:
        raise invalid_field("brand_id", "is for brand managers alone")


def _last_admin() -> DomainError:
    return DomainError("LAST_ADMIN", "this is the last active admin; make another one first")
