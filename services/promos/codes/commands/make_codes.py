"""Making codes, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_one, fetch_value
from services.common.errors import overloaded
from services.common.ids import new_id
from services.promos.codes import random_codes

BATCH = 1_000
"""Codes of one transaction: enough to be fast, few enough not to hold the set's row for long."""


@dataclass(frozen=True, slots=True)
class _Batch:
    made: int
    lacking: bool


async def make_codes(connection: Connection, code_set_id: UUID) -> bool:
    """Makes one batch of the codes that the set lacks; returns whether it lacks more.

    The set's row stays locked until the commit, so that two makers never make too many. A code that
    exists already is thrown away, and a later batch makes up for it. Raises OVERLOADED when all of them
    exist already, which a sound random source does not do.
    """
    lacking: int | None = await fetch_value(
        connection,
        """
        SELECT wanted + voided - made FROM code_sets
        WHERE id = %(id)s AND made < wanted + voided
        FOR NO KEY UPDATE
        """,
        id=code_set_id,
    )
    if lacking is None:
        return False
    count = min(lacking, BATCH)
    batch = await fetch_one(
        connection,
        _Batch,
        """
        WITH made AS (
          INSERT INTO codes (id, code_set_id, code, shuffle, state, uses_allowed)
          SELECT new.id, s.id, new.code, floor(random() * 2147483648), 'READY', s.uses_allowed
          FROM unnest(%(ids)s::uuid[], %(codes)s::text[]) AS new (id, code), code_sets s
          WHERE s.id = %(id)s
          ON CONFLICT (code) DO NOTHING
          RETURNING 1
        )
        UPDATE code_sets SET made = made + (SELECT count(*) FROM made) WHERE id = %(id)s
        RETURNING made - old.made AS made, made < wanted + voided AS lacking
        """,
        id=code_set_id,
        ids=[new_id() for _ in range(count)],
        codes=random_codes.new_codes(count),
    )
    if batch.made == 0:
        raise overloaded("codes")
    return batch.lacking
