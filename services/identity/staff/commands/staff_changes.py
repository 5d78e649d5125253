"""What the changes of staff have in common."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.sessions import SessionState
from services.identity.staff.queries import StaffRow

ANOTHER_ADMIN = (
    "EXISTS (SELECT FROM staff other JOIN accounts their ON their.id = other.id"
    " WHERE other.role = 'admin' AND their.status = 'ACTIVE' AND other.id <> :id)"
)
"""Whether somebody else than the staff `:id` is an active admin. True to its word only after `lock_staff`."""


@dataclass(frozen=True)
class ChangedStaff:
    """The staff after a change, and who is logged in now if that changed."""

    staff: StaffRow
    logins: SessionState | None


async def lock_staff(connection: Connection) -> None:
    """Has all changes of who is an active admin happen one after the other; reading and logging in go on.

    Otherwise two admins who disable each other would each see the other as the one that stays. It is
    the table that is locked, because the rows of active admins are not the same ones for both.
    """
    await connection.execute(text("LOCK TABLE staff IN SHARE ROW EXCLUSIVE MODE"))


def last_admin() -> DomainError:
    """The change would leave no active admin."""
    return DomainError("LAST_ADMIN", "this is the last active admin; make another one first")
