"""Reads of staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.paging import Page


@dataclass(frozen=True, slots=True)
class StaffRow:
    """One of the staff. `role` is the token's, such as `admin`."""

    id: UUID
    user_name: str
    full_name: str
    role: str
    enabled: bool
    created_at: datetime


async def get_staff(connection: Connection, staff_id: UUID) -> StaffRow:
    """Returns one of the staff. Raises STAFF_NOT_FOUND."""
    staff = await fetch_first(
        connection,
        StaffRow,
        """
        SELECT id, user_name, full_name, role, enabled, created_at FROM staff_accounts
        WHERE id = %(id)s
        """,
        id=staff_id,
    )
    if staff is None:
        raise DomainError("STAFF_NOT_FOUND", "no such staff", staff_id=staff_id)
    return staff


async def list_staff(connection: Connection, page: Page, *, role: str) -> tuple[Sequence[StaffRow], str]:
    """Returns a page of staff, by user name; an empty role matches all."""
    found = await fetch_all(
        connection,
        StaffRow,
        """
        SELECT id, user_name, full_name, role, enabled, created_at FROM staff_accounts
        WHERE (%(after)s::text IS NULL OR user_name > %(after)s::text)
          AND (%(role)s = '' OR role = %(role)s)
        ORDER BY user_name LIMIT %(limit)s
        """,
        after=page.after(str),
        role=role,
        limit=page.size + 1,
    )
    return page.cut(found, lambda staff: staff.user_name)


async def has_staff(connection: Connection) -> bool:
    """Returns whether there is any staff."""
    return bool(await fetch_value(connection, "SELECT EXISTS (SELECT FROM staff)"))
