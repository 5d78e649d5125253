"""Statements that write staff and accounts at once, or one of them under a condition on the other.

That there is an active admin, always, is decided by role and status together: they are read in the statement
that changes one of them.
"""

from __future__ import annotations

from uuid import UUID

from services.common.db import Connection, execute, fetch_value


async def insert_staff(
    connection: Connection,
    staff_id: UUID,
    *,
    user_name: str,
    full_name: str,
    role: str,
    brand_id: UUID | None,
    password_hash: str,
) -> None:
    """Inserts staff with the account. Raises USER_NAME_TAKEN by constraint."""
    await execute(
        connection,
        """
        WITH account AS (
          INSERT INTO accounts (id, kind, user_name, password_hash)
          VALUES (%(id)s, 'STAFF', %(user_name)s, %(password_hash)s)
          RETURNING id
        )
        INSERT INTO staff (id, full_name, role, brand_id)
        SELECT id, %(full_name)s, %(role)s, %(brand_id)s::uuid FROM account
        """,
        id=staff_id,
        user_name=user_name,
        full_name=full_name,
        role=role,
        brand_id=brand_id,
        password_hash=password_hash,
    )


async def insert_first_admin(
    connection: Connection, staff_id: UUID, *, user_name: str, password_hash: str
) -> bool:
    """Inserts an admin when there is no staff; returns False otherwise, or when the user name is taken."""
    inserted = await execute(
        connection,
        """
        WITH account AS (
          INSERT INTO accounts (id, kind, user_name, password_hash)
          SELECT %(id)s, 'STAFF', %(user_name)s, %(password_hash)s WHERE NOT EXISTS (SELECT FROM staff)
          ON CONFLICT (user_name) DO NOTHING RETURNING id
        )
        INSERT INTO staff (id, full_name, role) SELECT id, 'Administrator', 'admin' FROM account
        """,
        id=staff_id,
        user_name=user_name,
        password_hash=password_hash,
    )
    return inserted == 1


async def lock_staff(connection: Connection) -> None:
    """Has all changes of who is an active admin happen one after the other; reading and logging in go on.

    Otherwise two admins who disable each other would each see the other as the one that stays. It is
    the table that is locked, because the rows of active admins are not the same ones for both.
    """
    await execute(connection, "LOCK TABLE staff IN SHARE ROW EXCLUSIVE MODE")


async def set_role(connection: Connection, staff_id: UUID, role: str, brand_id: UUID | None) -> str | None:
    """Gives staff another role, or another brand, unless they are the last active admin.

    `lock_staff` comes first.

    Returns the role that they had, or None when nothing was changed.
    """
    before: str | None = await fetch_value(
        connection,
        """
        WITH changed AS (
          UPDATE staff SET role = %(role)s, brand_id = %(brand_id)s
          WHERE id = %(id)s AND (role, brand_id) IS DISTINCT FROM (%(role)s, %(brand_id)s::uuid) AND (
            NOT EXISTS (SELECT FROM active_admins WHERE id = %(id)s)
            OR EXISTS (SELECT FROM active_admins WHERE id <> %(id)s)
          )
          RETURNING id, old.role AS before
        )
        UPDATE accounts SET version = version + 1 FROM changed WHERE accounts.id = changed.id
        RETURNING changed.before
        """,
        id=staff_id,
        role=role,
        brand_id=brand_id,
    )
    return before


async def suspend(connection: Connection, staff_id: UUID) -> bool:
    """Suspends active staff unless they are the last active admin; `lock_staff` comes first.

    Returns whether it did.
    """
    suspended = await execute(
        connection,
        """
        UPDATE accounts SET status = 'SUSPENDED', version = version + 1
        FROM staff
        WHERE accounts.id = %(id)s AND staff.id = %(id)s AND status = 'ACTIVE' AND (
          staff.role <> 'admin' OR EXISTS (SELECT FROM active_admins WHERE id <> %(id)s)
        )
        """,
        id=staff_id,
    )
    return suspended == 1


async def change_staff(
    connection: Connection, staff_id: UUID, *, full_name: str, user_name: str, brand_id: UUID | None
) -> None:
    """Gives staff these names and this brand. Raises USER_NAME_TAKEN by constraint."""
    await execute(
        connection,
        """
        WITH account AS (
          UPDATE accounts SET user_name = %(user_name)s, version = version + 1 WHERE id = %(id)s
          RETURNING id
        )
        UPDATE staff SET full_name = %(full_name)s, brand_id = %(brand_id)s FROM account
        WHERE staff.id = account.id
        """,
        id=staff_id,
        full_name=full_name,
        user_name=user_name,
        brand_id=brand_id,
    )


async def erase(connection: Connection, staff_id: UUID) -> bool:
    """Closes the account of staff and erases who they were, unless they are the last active admin.

    `lock_staff` comes first. Returns whether it did.
    """
    erased = await execute(
        connection,
        """
        WITH account AS (
          UPDATE accounts SET
            status = 'CLOSED', user_name = NULL, email = NULL, email_confirmed = false, phone = NULL,
            password_hash = NULL, version = version + 1
          WHERE id = %(id)s AND kind = 'STAFF' AND status <> 'CLOSED' AND (
            NOT EXISTS (SELECT FROM active_admins WHERE id = %(id)s)
            OR EXISTS (SELECT FROM active_admins WHERE id <> %(id)s)
          )
          RETURNING id
        )
        UPDATE staff SET full_name = '' FROM account WHERE staff.id = account.id
        """,
        id=staff_id,
    )
    return erased == 1


async def reactivate(connection: Connection, staff_id: UUID) -> bool:
    """Makes suspended staff active again and counts a change of their logins; returns whether it did."""
    reactivated = await execute(
        connection,
        """
        UPDATE accounts SET
          status = 'ACTIVE', session_version = session_version + 1, version = version + 1
        WHERE id = %(id)s AND kind = 'STAFF' AND status = 'SUSPENDED'
        """,
        id=staff_id,
    )
    return reactivated == 1
