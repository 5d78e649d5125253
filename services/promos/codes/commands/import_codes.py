"""Taking in codes that exist elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_values
from services.common.ids import new_id
from services.promos.codes import refusals
from services.promos.codes.set_queries import lock_code_set, require_purpose

MOST_CODES = 10_000_000
"""Codes of one set."""
_AT_A_TIME = 5_000
"""Codes of one statement, whose time is limited."""


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code as it is stored; `uses_allowed` is the set's when None.

    `written` is how it is shown, which reads as `code`; None where that is the same.
    """

    code: str
    uses_allowed: int | None
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """Which codes were not taken because they exist: in the set itself, or in another."""

    made: int
    here: frozenset[str]
    elsewhere: frozenset[str]


async def import_codes(
    connection: Connection, code_set_id: UUID, codes: Sequence[NewCode], *, import_id: UUID
) -> Imported:
    """Adds these codes, no two of which are alike, to a set; those that exist anywhere stay as they are.

    The set's row stays locked until the commit, as for the makers of codes, so that it counts exactly. Raises
    CODE_SET_NOT_FOUND, CODE_SET_WRONG_PURPOSE unless its codes are handed out, and CODE_SET_FULL.
    """
    kept = await lock_code_set(connection, code_set_id)
    require_purpose(kept, "HANDED_OUT")
    made: set[str] = set()
    # Ids are in the order of the file. Codes are inserted in their own, so that two files do not deadlock.
    new = sorted(((new_id(), one) for one in codes), key=lambda pair: pair[1].code)
    for start in range(0, len(new), _AT_A_TIME):
        made |= await _insert(connection, code_set_id, new[start : start + _AT_A_TIME], import_id)
    if kept.wanted + kept.voided + len(made) > MOST_CODES:
        raise refusals.code_set_full(code_set_id)
    await execute(
        connection,
        "UPDATE code_sets SET wanted = wanted + %(made)s, made = made + %(made)s WHERE id = %(id)s",
        id=code_set_id,
        made=len(made),
    )
    there = {one.code for one in codes} - made
    here = await _of_set(connection, code_set_id, there)
    return Imported(len(made), here, frozenset(there - here))


async def _insert(
    connection: Connection, code_set_id: UUID, codes: Sequence[tuple[UUID, NewCode]], import_id: UUID
) -> set[str]:
    """Returns the codes that were added."""
    made = await fetch_values(
        connection,
        """
        INSERT INTO codes (id, code_set_id, code, written, shuffle, state, uses_allowed, import_id)
        SELECT
          new.id, s.id, new.code, new.written, 0, 'BEARER', coalesce(new.uses_allowed, s.uses_allowed),
          %(import_id)s
        FROM unnest(%(ids)s::uuid[], %(codes)s::text[], %(written)s::text[], %(uses)s::int[])
            AS new (id, code, written, uses_allowed),
          code_sets s
        WHERE s.id = %(id)s
        ORDER BY new.code COLLATE "C"
        ON CONFLICT (code) DO NOTHING
        RETURNING code
        """,
        id=code_set_id,
        import_id=import_id,
        ids=[code_id for code_id, _ in codes],
        codes=[one.code for _, one in codes],
        written=[one.written for _, one in codes],
        uses=[one.uses_allowed for _, one in codes],
    )
    return set(made)


async def _of_set(connection: Connection, code_set_id: UUID, codes: set[str]) -> frozenset[str]:
    found = await fetch_values(
        connection,
        "SELECT code FROM codes WHERE code = ANY(%(codes)s) AND code_set_id = %(id)s",
        id=code_set_id,
        codes=sorted(codes),
    )
    return frozenset(found)
