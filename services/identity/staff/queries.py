"""Reads of staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment


@dataclass(frozen=True, slots=True)
class StaffRow:
    """One of the staff. `role` is the token's, such as `admin`; `brand_id` is a brand manager's brand."""

    id: UUID
    user_name: str
    full_name: str
    role: str
    enabled: bool
    created_at: datetime
    version: int
    brand_id: UUID | None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.version)


STAFF = Listing(
    row=StaffRow,
    columns="id, user_name, full_name, role, enabled, created_at, version, brand_id",
    source="staff_accounts",
    filters={
        "role": "role = %(role)s",
        "enabled": "enabled = %(enabled)s",
        "brand_id": "brand_id = %(brand_id)s",
        "begins_with": (
            "(starts_with(user_name, lower(%(begins_with)s))"
            " OR starts_with(lower(full_name), lower(%(begins_with)s)))"
        ),
    },
    keys={
        "user_name": SortKey("user_name", "user_name", str),
        "created_at": SortKey("created_at", "created_at", parse_moment),
    },
    key=SortKey("id", "id", UUID),
    default_order="user_name",
)
"""Who works for the retailer and its brands: some hundreds, so its sort orders need no index."""


async def get_staff(connection: Connection, staff_id: UUID) -> StaffRow:
    """Returns one of the staff. Raises STAFF_NOT_FOUND."""
    staff = await fetch_first(
        connection,
        StaffRow,
        """
        SELECT id, user_name, full_name, role, enabled, created_at, version, brand_id FROM staff_accounts
        WHERE id = %(id)s
        """,
        id=staff_id,
    )
    if staff is None:
        raise staff_not_found(staff_id)
    return staff


def staff_not_found(staff_id: UUID) -> DomainError:
    """Returns the refusal for an id that nobody of the staff has."""
    return DomainError("STAFF_NOT_FOUND", "no such staff", staff_id=staff_id)


async def has_staff(connection: Connection) -> bool:
    """Returns whether there is any staff."""
    return bool(await fetch_value(connection, "SELECT EXISTS (SELECT FROM staff)"))
