"""Keeping the member codes that identity resolved."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection


async def keep_member_codes(connection: Connection, members: Mapping[str, UUID]) -> None:
    """Keeps member ids by member code, but for members who were suspended or left meanwhile.

    The members' rows are locked until the commit, so that the event which tells that a member is out
    comes before, and then the code is not kept, or after, and then it is dropped.
    """
    codes = sorted(members)
    given = {"codes": codes, "members": [members[code] for code in codes]}
    await connection.execute(
        text(
            "INSERT INTO members (member_id, version)"
            " SELECT DISTINCT id, 0 FROM unnest(CAST(:members AS uuid[])) AS id ORDER BY id"
            " ON CONFLICT DO NOTHING"
        ),
        given,
    )
    await connection.execute(
        text(
            "WITH locked AS (SELECT member_id FROM members WHERE member_id = ANY(:members)"
            " AND status = 'ACTIVE' ORDER BY member_id FOR SHARE)"
            " INSERT INTO member_codes (member_code, member_id)"
            " SELECT g.code, g.member_id FROM unnest(CAST(:codes AS text[]), CAST(:members AS uuid[]))"
            " AS g (code, member_id) JOIN locked USING (member_id) ORDER BY g.code"
            " ON CONFLICT (member_code) DO UPDATE SET member_id = excluded.member_id"
        ),
        given,
    )
