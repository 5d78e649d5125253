"""Writes that move orders on; placing them stands in `new_orders.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_all, fetch_first
from services.common.ids import new_id
from services.common.set_aside import ORDER, waits
from services.vouchers.catalogue import lock_vouchers
from services.vouchers.orders import statements
from services.vouchers.orders.queries import COLUMNS, OrderRow

MOST_CLAIMED = 100


@dataclass(frozen=True, slots=True)
class Completion:
    """An order that is paid, and the codes that it was given: one for each piece."""

    order_id: UUID
    code_ids: Sequence[UUID]


async def complete_orders(connection: Connection, paid: Sequence[Completion]) -> list[OrderRow | None]:
    """PENDING -> COMPLETED, with a voucher in the wallet for each code.

    Returns the orders as they are then; None for one that is not pending.
    """
    by_id = {one.order_id: one for one in paid}
    pieces = [
        {"order_id": one.order_id, "number": number, "id": new_id(), "code_id": code_id}
        for one in by_id.values()
        for number, code_id in enumerate(one.code_ids, start=1)
    ]
    rows = await fetch_all(
        connection,
        OrderRow,
        statements.COMPLETE,
        pieces=Jsonb(pieces, dumps=orjson.dumps),
        order_ids=sorted(by_id),  # so they are locked in this order
    )
    completed = {row.id: row for row in rows}
    return [completed.get(one.order_id) for one in paid]


async def fail_order(connection: Connection, order: OrderRow) -> OrderRow | None:
    """UNDOING -> FAILED or CANCELLED, REFUNDING -> REFUNDED; stock and limits get back what was ordered.

    Returns None when the order is in none of these states.
    """
    await lock_vouchers(connection, [order.voucher_id])
    return await fetch_first(connection, OrderRow, statements.FAIL, id=order.id)


_CLAIM_OVERDUE = SQL(
    """
    UPDATE orders AS o SET deadline_at = now() + make_interval(secs => %(lease_seconds)s)
    WHERE id IN (
      SELECT id FROM orders
      WHERE state IN ('PENDING', 'UNDOING', 'AWAITING_PAYMENT', 'REFUNDING') AND deadline_at < now()
        AND NOT {waits}
      ORDER BY deadline_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
    RETURNING {columns}
    """
).format(columns=COLUMNS, waits=waits(ORDER, "orders.id::text"))


async def claim_overdue_orders(
    connection: Connection, *, lease_seconds: int, most: int = MOST_CLAIMED
) -> Sequence[OrderRow]:
    """Returns orders whose time is over, each with a new one: no two sweeps take the same.

    Those that are set aside wait for their own time.
    """
    return await fetch_all(connection, OrderRow, _CLAIM_OVERDUE, lease_seconds=lease_seconds, most=most)
