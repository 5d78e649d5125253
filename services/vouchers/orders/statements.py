"""Statements that write an order together with its stock, or with the voucher in the wallet.

One that ends is set aside no more.

Each is one statement, so that the two can not come apart, and so that the row of a voucher that a crowd wants
is locked until the commit that follows at once, not for several round trips.
"""

from __future__ import annotations

from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first
from services.common.ids import new_id
from services.common.set_aside import ORDER, forgetting
from services.vouchers.catalogue import ON_SALE
from services.vouchers.orders.queries import COLUMNS, OrderRow

# The order is claimed by its key first; a second call with the same key waits there for the first to commit.
# The voucher's row is locked by the UPDATE alone: a SELECT that locks it before, in the same statement, ends
# in deadlocks when others wait for it.
_PLACE = SQL(
    """
    WITH o AS (
      INSERT INTO orders AS o (
        id, member_id, idempotency_key, voucher_id, price_points, state, deadline_at, steps, step_times
      )
      SELECT
        %(id)s, %(member_id)s, %(key)s, id, price_points, 'PENDING',
        now() + make_interval(secs => %(lease_seconds)s), ARRAY['PENDING'], ARRAY[now()]
      FROM vouchers WHERE id = %(voucher_id)s
      ON CONFLICT (member_id, idempotency_key) DO NOTHING
      RETURNING {columns}
    ), taken AS (
      UPDATE vouchers SET issued = issued + 1 FROM o
      WHERE vouchers.id = o.voucher_id AND vouchers.issued < vouchers.quantity AND {on_sale}
      RETURNING vouchers.id
    )
    SELECT {columns} FROM o JOIN taken ON taken.id = o.voucher_id
    """
).format(on_sale=ON_SALE, columns=COLUMNS)


async def place(
    connection: Connection, *, order_id: UUID, member_id: UUID, voucher_id: UUID, key: str, lease_seconds: int
) -> OrderRow | None:
    """Makes an order and takes a piece for it; returns None unless both are done.

    None means that the member has an order with this key; or that the order was made and no piece could be
    taken, and then the caller must roll back.
    """
    return await fetch_first(
        connection,
        OrderRow,
        _PLACE,
        id=order_id,
        member_id=member_id,
        key=key,
        voucher_id=voucher_id,
        lease_seconds=lease_seconds,
    )


_WELL = forgetting(ORDER, "o", "o.id::text")

_COMPLETE = SQL(
    """
    WITH o AS (
      UPDATE orders AS o SET
        state = 'COMPLETED', steps = array_append(o.steps, 'COMPLETED'),
        step_times = array_append(o.step_times, clock_timestamp())
      WHERE id = %(id)s AND state = 'PENDING'
      RETURNING {columns}
    ), owned AS (
      INSERT INTO wallet_vouchers (id, order_id, voucher_id, member_id, code_id)
      SELECT %(wallet_id)s, id, voucher_id, member_id, %(code_id)s FROM o
      RETURNING id, order_id
    ), well AS (
      {well}
    )
    SELECT {columns}, ARRAY[owned.id] AS wallet_voucher_ids FROM o JOIN owned ON owned.order_id = o.id
    """
).format(columns=COLUMNS, well=_WELL)


async def complete(connection: Connection, *, order_id: UUID, code_id: UUID) -> OrderRow | None:
    """PENDING -> COMPLETED, with its voucher in the wallet; returns None when the order is not pending."""
    return await fetch_first(
        connection, OrderRow, _COMPLETE, id=order_id, wallet_id=new_id(), code_id=code_id
    )


_FAIL = SQL(
    """
    WITH o AS (
      UPDATE orders AS o SET
        state = 'FAILED', steps = array_append(o.steps, 'FAILED'),
        step_times = array_append(o.step_times, clock_timestamp())
      WHERE id = %(id)s AND state = 'UNDOING'
      RETURNING {columns}
    ), given_back AS (
      UPDATE vouchers SET issued = issued - 1 FROM o WHERE vouchers.id = o.voucher_id
    ), well AS (
      {well}
    )
    SELECT {columns} FROM o
    """
).format(columns=COLUMNS, well=_WELL)


async def fail(connection: Connection, *, order_id: UUID) -> OrderRow | None:
    """UNDOING -> FAILED, and its stock goes back with it; returns None when the order is not being undone."""
    return await fetch_first(connection, OrderRow, _FAIL, id=order_id)
