"""Writes of orders; what takes stock or fills the wallet with them stands in `statements.py`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_all, fetch_first
from services.common.errors import DomainError
from services.common.idempotency import reused
from services.common.ids import new_id
from services.common.set_aside import ORDER, waits
from services.vouchers.catalogue import is_on_sale, sold_out, voucher_not_found, voucher_not_on_sale
from services.vouchers.orders import statements
from services.vouchers.orders.queries import COLUMNS, OrderRow, find_order

MOST_CLAIMED = 100


async def place_order(
    connection: Connection, *, member_id: UUID, voucher_id: UUID, key: str, lease_seconds: int
) -> OrderRow:
    """Places the member's order of one voucher; returns it, or the one that has this key already.

    Raises VOUCHER_NOT_FOUND, VOUCHER_NOT_ON_SALE, SOLD_OUT or IDEMPOTENCY_KEY_REUSED; nothing is kept then.
    """
    order_id = new_id()
    placed = await statements.place(
        connection,
        order_id=order_id,
        member_id=member_id,
        voucher_id=voucher_id,
        key=key,
        lease_seconds=lease_seconds,
    )
    if placed is not None:
        return placed
    existing = await find_order(connection, member_id, key)
    if existing is not None and existing.id != order_id:
        return same_order(existing, voucher_id, key)
    # The stock is not read again: some may have come back since, and this call was refused.
    match await is_on_sale(connection, voucher_id):
        case None:
            raise voucher_not_found(voucher_id)
        case True:
            raise sold_out(voucher_id)
        case False:
            raise voucher_not_on_sale(voucher_id)


def same_order(existing: OrderRow, voucher_id: UUID, key: str) -> OrderRow:
    """Returns the order that has this key. Raises IDEMPOTENCY_KEY_REUSED when it is of another voucher."""
    if existing.voucher_id != voucher_id:
        raise reused(key)
    return existing


_START_UNDOING = SQL(
    """
    UPDATE orders AS o SET
      state = 'UNDOING', failure_reason = %(reason)s, failure_metadata = %(metadata)s,
      steps = array_append(o.steps, 'UNDOING'), step_times = array_append(o.step_times, clock_timestamp())
    WHERE id = %(id)s AND state = 'PENDING'
    RETURNING {columns}
    """
).format(columns=COLUMNS)


async def start_undoing(connection: Connection, *, order_id: UUID, refusal: DomainError) -> OrderRow | None:
    """PENDING -> UNDOING, and why; from here on the order can only fail.

    Must be committed before anything is undone. Returns None when the order is not pending.
    """
    return await fetch_first(
        connection,
        OrderRow,
        _START_UNDOING,
        id=order_id,
        reason=refusal.reason,
        metadata=Jsonb(refusal.metadata | {"message": refusal.message}),
    )


_CLAIM_OVERDUE = SQL(
    """
    UPDATE orders AS o SET deadline_at = now() + make_interval(secs => %(lease_seconds)s)
    WHERE id IN (
      SELECT id FROM orders WHERE state IN ('PENDING', 'UNDOING') AND deadline_at < now()
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
