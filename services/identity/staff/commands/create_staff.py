"""Making an account for staff."""

from __future__ import annotations

from sqlalchemy import text

from services.common.caller import Caller
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.staff.queries import StaffRow, get_staff


async def create_staff(
    connection: Connection, *, actor: Caller, user_name: str, full_name: str, role: str, password_hash: str
) -> StaffRow:
    """Makes an account. `user_name` is in small letters. Raises USER_NAME_TAKEN (by constraint)."""
    staff_id = new_id()
    await connection.execute(
        text(
            "WITH account AS (INSERT INTO accounts (id, kind, user_name, password_hash)"
            " VALUES (:id, 'STAFF', :user_name, :password_hash) RETURNING id)"
            " INSERT INTO staff (id, full_name, role) SELECT id, :full_name, :role FROM account"
        ),
        {
            "id": staff_id,
            "user_name": user_name,
            "password_hash": password_hash,
            "full_name": full_name,
            "role": role,
        },
    )
    await record_own(connection, actor, "staff.created", staff_id, user_name=user_name, role=role)
    return await get_staff(connection, staff_id)
