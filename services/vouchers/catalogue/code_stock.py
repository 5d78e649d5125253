"""How many codes a voucher shall have, ahead of its sale, and how many of them promos has made.

`codes_wanted` counts sold ones too, and is never less than `issued`: what raises `issued` asks for codes in
the same transaction. While fewer are made, the worker looks again and again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from psycopg.sql import SQL

from services.common import jobs
from services.common.db import Connection, execute, fetch_all, fetch_values
from services.vouchers.catalogue.conditions import FEW_CODES_LEFT
from services.vouchers.catalogue.queries import COLUMNS, VoucherRow

ENSURE_CODES_JOB = "ensure_codes"

_ASK = SQL(
    """
    UPDATE vouchers SET codes_wanted = least(quantity, issued + %(codes_ahead)s)
    WHERE id = ANY(%(ids)s) AND state = 'ACTIVE' AND {few_left}
    RETURNING id
    """
).format(few_left=FEW_CODES_LEFT)


async def ask_for_codes(connection: Connection, voucher_ids: Collection[UUID], *, codes_ahead: int) -> None:
    """Has codes made for those of these vouchers that are published and have few left. Their rows are locked.

    Few are less than half of `codes_ahead`, if more can be sold; then there shall be `codes_ahead` again.
    """
    for voucher_id in await fetch_values(connection, _ASK, ids=list(voucher_ids), codes_ahead=codes_ahead):
        await jobs.defer(connection, ENSURE_CODES_JOB, voucher_id=str(voucher_id))


_LACKING = SQL(
    """
    SELECT {columns} FROM vouchers
    WHERE codes_made < codes_wanted AND id > %(after)s
    ORDER BY id LIMIT %(limit)s
    """
).format(columns=COLUMNS)


async def list_lacking(connection: Connection, *, after: UUID, limit: int) -> Sequence[VoucherRow]:
    """Returns vouchers of which codes are being made, in the order of their ids, those behind `after`."""
    return await fetch_all(connection, VoucherRow, _LACKING, after=after, limit=limit)


async def note_codes_made(connection: Connection, voucher_id: UUID, made: int) -> None:
    """Notes how many codes there are; what was read before another reading changes nothing."""
    await execute(
        connection,
        """
        UPDATE vouchers SET codes_made = least(codes_wanted, %(made)s)
        WHERE id = %(id)s AND codes_made < least(codes_wanted, %(made)s)
        """,
        id=voucher_id,
        made=made,
    )
