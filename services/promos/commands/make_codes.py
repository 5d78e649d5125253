"""Making codes, a batch at a time."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.errors import overloaded
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.promos import codes

BATCH = 1_000
"""Codes of one transaction: enough to be fast, few enough not to hold the set's row for long."""


async def make_codes(connection: Connection, code_set_id: UUID) -> bool:
    """Makes one batch of the codes that the set lacks; answers whether it lacks more.

    The set's row stays locked until the commit, so that two makers never make too many. A code that
    exists already is thrown away, and a later batch makes up for it. Raises OVERLOADED when all of them
    exist already, which a sound random source does not do.
    """
    result = await connection.execute(
        text(
            "SELECT wanted + voided - made FROM code_sets WHERE id = :id AND made < wanted + voided"
            " FOR NO KEY UPDATE"
        ),
        {"id": code_set_id},
    )
    lacking = result.scalar_one_or_none()
    if lacking is None:
        return False
    count = min(lacking, BATCH)
    result = await connection.execute(
        text(
            "WITH made AS (INSERT INTO codes"
            " (id, code_set_id, code, shuffle, state, uses_allowed, expires_at)"
            " SELECT new.id, s.id, new.code, floor(random() * 2147483648), 'READY',"
            " s.uses_allowed, s.expires_at"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:codes AS text[])) AS new (id, code), code_sets s"
            " WHERE s.id = :id ON CONFLICT (code) DO NOTHING RETURNING 1)"
            " UPDATE code_sets SET made = made + (SELECT count(*) FROM made) WHERE id = :id"
            " RETURNING made - old.made AS made, made < wanted + voided AS lacking"
        ),
        {"id": code_set_id, "ids": [new_id() for _ in range(count)], "codes": codes.new_codes(count)},
    )
    row = result.one()
    if row.made == 0:
        raise overloaded("codes")
    return bool(row.lacking)
