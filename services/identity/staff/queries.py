"""Reads of staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page

_STAFF = (
    "SELECT s.id, a.user_name, s.full_name, s.role, a.status = 'ACTIVE', a.created_at"
    " FROM staff s JOIN accounts a ON a.id = s.id"
)


@dataclass(frozen=True)
class StaffRow:
    """One of the staff. `role` is the token's, such as `admin`."""

    id: UUID
    user_name: str
    full_name: str
    role: str
    enabled: bool
    created_at: datetime


async def get_staff(connection: Connection, staff_id: UUID) -> StaffRow:
    """One of the staff. Raises STAFF_NOT_FOUND."""
    result = await connection.execute(text(_STAFF + " WHERE s.id = :id"), {"id": staff_id})
    row = result.first()
    if row is None:
        raise DomainError("STAFF_NOT_FOUND", "no such staff", staff_id=staff_id)
    return StaffRow(*row)


async def list_staff(connection: Connection, page: Page, *, role: str) -> tuple[Sequence[StaffRow], str]:
    """A page of staff, by user name; an empty role matches all."""
    result = await connection.execute(
        text(
            _STAFF + " WHERE (CAST(:after AS text) IS NULL OR a.user_name > :after)"
            " AND (:role = '' OR s.role = :role) ORDER BY a.user_name LIMIT :limit"
        ),
        {"after": page.after(str), "role": role, "limit": page.size + 1},
    )
    return page.cut([StaffRow(*row) for row in result], lambda staff: staff.user_name)


async def has_staff(connection: Connection) -> bool:
    """Returns whether there is any staff."""
    return bool((await connection.execute(text("SELECT EXISTS (SELECT FROM staff)"))).scalar_one())
