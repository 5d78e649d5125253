"""Holding still what is known of a member."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Connection, fetch_value
from services.common.errors import DomainError
from services.common.members import CLOSED


async def lock_member(connection: Connection, member_id: UUID) -> None:
    """Locks a member's row, so that the account closes before or after the transaction, never in between.

    Raises MEMBER_NOT_FOUND, and MEMBER_CLOSED.
    """
    status = await fetch_value(
        connection,
        "SELECT status FROM members WHERE member_id = %(member_id)s FOR SHARE",
        member_id=member_id,
    )
    if status is None:
        raise DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
    if status == CLOSED:
        raise DomainError("MEMBER_CLOSED", "the member has closed the account")
