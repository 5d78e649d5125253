"""Keeping the member codes that identity resolved."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection


async def keep_member_codes(connection: Connection, members: Mapping[str, UUID]) -> None:
    """Keeps member ids by member code."""
    codes = sorted(members)
    await connection.execute(
        text(
            "INSERT INTO member_codes (member_code, member_id)"
            " SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:members AS uuid[]))"
            " ON CONFLICT (member_code) DO UPDATE SET member_id = excluded.member_id"
        ),
        {"codes": codes, "members": [members[code] for code in codes]},
    )
