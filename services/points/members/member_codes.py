"""Member codes that identity resolved, kept so that a till's next receipt needs no question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.common.db import Connection, execute, fetch_value, fetch_values
from services.common.members import SUSPENDED


async def keep_member_codes(connection: Connection, members: Mapping[str, UUID]) -> None:
    """Keeps member ids by member code, but for members who were suspended or left meanwhile.

    The members' rows are locked until the commit, so that the event with which a member leaves
    comes before, and then the code is not kept, or after, and then it is dropped.
    """
    codes = sorted(members)
    owners = [members[code] for code in codes]
    await execute(
        connection,
        """
        INSERT INTO members (member_id, version)
        SELECT DISTINCT id, 0 FROM unnest(%(owners)s::uuid[]) AS id ORDER BY id
        ON CONFLICT DO NOTHING
        """,
        owners=owners,
    )
    await execute(
        connection,
        """
        WITH locked AS (
          SELECT member_id FROM members
          WHERE member_id = ANY(%(owners)s::uuid[]) AND status = 'ACTIVE'
          ORDER BY member_id
          FOR SHARE
        )
        INSERT INTO member_codes (member_code, member_id)
        SELECT g.code, g.member_id
        FROM unnest(%(codes)s::text[], %(owners)s::uuid[]) AS g (code, member_id)
        JOIN locked USING (member_id)
        ORDER BY g.code
        ON CONFLICT (member_code) DO UPDATE SET member_id = excluded.member_id
        """,
        codes=codes,
        owners=owners,
    )


async def get_member_of_code(connection: Connection, member_code: str) -> UUID | None:
    """Returns whose a lasting member code is, if it is kept."""
    member_id: UUID | None = await fetch_value(
        connection,
        "SELECT member_id FROM member_codes WHERE member_code = %(member_code)s",
        member_code=member_code,
    )
    return member_id


async def suspended_among(connection: Connection, member_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Returns those of these members who are suspended, by what identity has told."""
    found = await fetch_values(
        connection,
        """
        SELECT member_id FROM members
        WHERE member_id = ANY(%(member_ids)s::uuid[]) AND status = %(suspended)s
        """,
        member_ids=list(member_ids),
        suspended=SUSPENDED,
    )
    return frozenset(found)
