"""Making codes, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Rollback
from psycopg.errors import UniqueViolation
from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_value, fetch_values
from services.promos.codes import random_codes
from services.promos.codes.copy_rows import COLUMNS, rows_of
from services.promos.codes.patterns import Pattern, pattern_of

BATCH = 10_000
"""Codes of one transaction: enough to be fast, few enough that little is lost with one that is killed."""
_SPARE = 50
"""More than are lacking, for those that exist already: of a pattern with room, every second one at most."""
_SURELY_NEW = 10**15
"""Among so many possible codes hardly one is drawn that exists."""
_COPY = SQL("COPY codes ({columns}) FROM STDIN").format(columns=SQL(COLUMNS))


class NoNewCodesError(Exception):
    """All codes that were drawn exist: the pattern has no room left, or the random source is broken."""


@dataclass(frozen=True, slots=True)
class _Lacking:
    pattern: str | None
    state: str
    uses_allowed: int
    codes: int


async def make_codes(connection: Connection, code_set_id: UUID) -> bool:
    """Makes one batch of the codes that the set lacks; returns whether it may lack more.

    Codes that exist already are thrown away: the new ones, never the old. The set's row is locked only to
    count the batch, at its end, so that others need not wait; a batch that would be too many by then, because
    another process has made some or staff changed the set, is taken back. Raises NoNewCodesError.
    """
    lacking = await fetch_first(
        connection,
        _Lacking,
        """
        SELECT
          pattern, CASE WHEN purpose = 'HANDED_OUT' THEN 'BEARER' ELSE 'READY' END AS state, uses_allowed,
          wanted + voided - made AS codes
        FROM code_sets WHERE id = %(id)s AND made < wanted + voided
        """,
        id=code_set_id,
    )
    if lacking is None:
        return False
    count, pattern = min(lacking.codes, BATCH), pattern_of(lacking.pattern)
    # To look which codes exist is dear, so where hardly one can it is done only once one did.
    for look in (False, True) if pattern.possible_codes >= _SURELY_NEW else (True,):
        codes = await _new_codes(connection, count, pattern, look=look)
        try:
            return await _keep(connection, code_set_id, lacking, codes)
        except UniqueViolation:
            pass
    return True  # another set made one of these at this moment; the next batch is drawn anew


async def _new_codes(connection: Connection, count: int, pattern: Pattern, *, look: bool) -> Sequence[str]:
    """Returns up to `count` codes, with `look` only such as do not exist. Raises NoNewCodesError."""
    drawn = dict.fromkeys(random_codes.new_codes(count + _SPARE, pattern))
    if look:
        for existing in await fetch_values(
            connection, "SELECT code FROM codes WHERE code = ANY(%(codes)s)", codes=list(drawn)
        ):
            del drawn[existing]
    if not drawn:
        raise NoNewCodesError
    return list(drawn)[:count]


async def _keep(connection: Connection, code_set_id: UUID, lacking: _Lacking, codes: Sequence[str]) -> bool:
    """Returns whether the set lacks more. Raises UniqueViolation, when nothing is kept."""
    lacks_more: bool | None = None
    async with connection.transaction() as savepoint:
        await _copy(connection, code_set_id, lacking, codes)
        lacks_more = await fetch_value(
            connection, _COUNT, id=code_set_id, codes=len(codes), uses_allowed=lacking.uses_allowed
        )
        if lacks_more is None:
            raise Rollback(savepoint)
    return lacks_more is not False


async def _copy(connection: Connection, code_set_id: UUID, lacking: _Lacking, codes: Sequence[str]) -> None:
    rows = rows_of(codes, code_set_id, state=lacking.state, uses_allowed=lacking.uses_allowed)
    async with connection.cursor().copy(_COPY) as copy:
        await copy.write(rows)


_RATE = SQL("%(codes)s / greatest(extract(epoch FROM clock_timestamp() - made_at), 0.001)::float")
"""Codes per second since the batch before."""

_COUNT = SQL(
    """
    UPDATE code_sets SET
      made = made + %(codes)s,
      made_at = clock_timestamp(),
      -- Of the last batches; those from before a pause tell nothing.
      made_per_second = CASE
        WHEN made_at > clock_timestamp() - interval '10 seconds'
        THEN coalesce(0.8 * made_per_second + 0.2 * {rate}, {rate})
      END
    WHERE id = %(id)s AND made + %(codes)s <= wanted + voided AND uses_allowed = %(uses_allowed)s
    RETURNING made < wanted + voided AS lacking
    """
).format(rate=_RATE)
