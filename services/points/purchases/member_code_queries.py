"""Reads of the member codes that are kept."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection


async def get_member_of_code(connection: Connection, member_code: str) -> UUID | None:
    """Whose a lasting member code is, if it is kept."""
    result = await connection.execute(
        text("SELECT member_id FROM member_codes WHERE member_code = :member_code"),
        {"member_code": member_code},
    )
    member_id: UUID | None = result.scalar_one_or_none()
    return member_id
