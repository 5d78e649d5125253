"""Changes of an order's state that move neither stock nor wallet; those that do stand in `statements.py`.

Each names the states that it starts from. It returns the order as it is then, None if its state was another.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_first
from services.common.errors import DomainError
from services.common.set_aside import ORDER, forgetting
from services.vouchers.orders.queries import COLUMNS, OrderRow
from services.vouchers.orders.refusals import order_cancelled, payment_expired


def step(state: LiteralString) -> Composed:
    """Returns what an UPDATE of an order `o` sets when the order comes to a state."""
    return SQL(
        """
        state = {state}, steps = array_append(o.steps, {state}),
        step_times = array_append(o.step_times, clock_timestamp())
        """
    ).format(state=state)


_START_UNDOING = SQL(
    """
    UPDATE orders AS o SET failure_reason = %(reason)s, failure_metadata = %(metadata)s, {undoing}
    WHERE id = %(id)s AND state IN ('PENDING', 'AWAITING_PAYMENT')
    RETURNING {columns}
    """
).format(columns=COLUMNS, undoing=step("UNDOING"))


async def start_undoing(connection: Connection, *, order_id: UUID, refusal: DomainError) -> OrderRow | None:
    """PENDING or AWAITING_PAYMENT -> UNDOING, and why; from here on the order can only fail.

    Must be committed before anything is undone.
    """
    return await fetch_first(
        connection,
        OrderRow,
        _START_UNDOING,
        id=order_id,
        **_why(refusal),
    )


_AWAIT_PAYMENT = SQL(
    """
    WITH o AS (
      UPDATE orders AS o SET deadline_at = pay_until, {awaiting}
      WHERE id = %(id)s AND state = 'PENDING'
      RETURNING {columns}
    ), well AS (
      {well}
    )
    SELECT {columns} FROM o
    """
).format(columns=COLUMNS, awaiting=step("AWAITING_PAYMENT"), well=forgetting(ORDER, "o", "o.id::text"))


async def await_payment(connection: Connection, *, order_id: UUID) -> OrderRow | None:
    """PENDING -> AWAITING_PAYMENT; the sweep looks at it again when its time is over."""
    return await fetch_first(connection, OrderRow, _AWAIT_PAYMENT, id=order_id)


_AWAIT_CODES = SQL(
    """
    UPDATE orders AS o SET codes_awaited_at = now()
    WHERE id = %(id)s AND state = 'PENDING' AND codes_awaited_at IS NULL
    RETURNING {columns}
    """
).format(columns=COLUMNS)


async def await_codes(connection: Connection, *, order_id: UUID) -> OrderRow | None:
    """Notes since when a PENDING order waits for its codes; returns None when that was noted before."""
    return await fetch_first(connection, OrderRow, _AWAIT_CODES, id=order_id)


_RESUME = SQL(
    """
    UPDATE orders AS o SET deadline_at = now() + make_interval(secs => %(lease_seconds)s), {pending}
    WHERE id = %(id)s AND state = 'AWAITING_PAYMENT'
    RETURNING {columns}
    """
).format(columns=COLUMNS, pending=step("PENDING"))


async def resume(connection: Connection, *, order_id: UUID, lease_seconds: float) -> OrderRow | None:
    """AWAITING_PAYMENT -> PENDING: its payment is authorised."""
    return await fetch_first(connection, OrderRow, _RESUME, id=order_id, lease_seconds=lease_seconds)


_EXPIRE = SQL(
    """
    UPDATE orders AS o SET failure_reason = %(reason)s, failure_metadata = %(metadata)s, {undoing}
    WHERE id = %(id)s AND state = 'AWAITING_PAYMENT' AND pay_until <= now()
    RETURNING {columns}
    """
).format(columns=COLUMNS, undoing=step("UNDOING"))


async def expire(connection: Connection, *, order_id: UUID) -> OrderRow | None:
    """AWAITING_PAYMENT -> UNDOING, if the time to pay is over; returns None when it is not."""
    return await fetch_first(connection, OrderRow, _EXPIRE, id=order_id, **_why(payment_expired(order_id)))


_REFUSE_REFUND = SQL(
    """
    WITH o AS (
      UPDATE orders AS o SET
        state = 'COMPLETED', end_note = NULL, ended_by = NULL,
        steps = trim_array(o.steps, 1), step_times = trim_array(o.step_times, 1)
      WHERE id = %(id)s AND state = 'REFUNDING'
      RETURNING {columns}
    ), well AS (
      {well}
    )
    SELECT {columns} FROM o
    """
).format(columns=COLUMNS, well=forgetting(ORDER, "o", "o.id::text"))


async def refuse_refund(connection: Connection, *, order_id: UUID) -> OrderRow | None:
    """REFUNDING -> COMPLETED, as if nothing had been asked: not even its steps tell of it."""
    return await fetch_first(connection, OrderRow, _REFUSE_REFUND, id=order_id)


# One that is not completed is undone, and ends CANCELLED; one that is completed is refunded.
_END = """
    UPDATE orders AS o SET
      state = e.state, steps = array_append(o.steps, e.state),
      step_times = array_append(o.step_times, clock_timestamp()),
      failure_reason = e.reason, failure_metadata = e.metadata, end_note = %(note)s, ended_by = %(ended_by)s,
      deadline_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM (
      VALUES
        ('PENDING', 'UNDOING', %(reason)s, %(metadata)s::jsonb),
        ('AWAITING_PAYMENT', 'UNDOING', %(reason)s, %(metadata)s::jsonb),
        ('COMPLETED', 'REFUNDING', NULL, NULL)
    ) AS e (before, state, reason, metadata)
    WHERE o.id = %(id)s AND o.state = e.before
"""
_CANCEL = SQL(
    _END
    + """
      AND o.member_id = %(member_id)s AND (o.state <> 'COMPLETED' OR now() < o.cancellable_until)
    RETURNING {columns}
    """
).format(columns=COLUMNS)
_REFUND = SQL(_END + "RETURNING {columns}").format(columns=COLUMNS)


async def cancel(
    connection: Connection, *, order_id: UUID, member_id: UUID, note: str, lease_seconds: float
) -> OrderRow | None:
    """Begins to undo the member's order that is not completed, or to refund one that may still be cancelled.

    Returns None when it is neither.
    """
    return await fetch_first(
        connection,
        OrderRow,
        _CANCEL,
        id=order_id,
        member_id=member_id,
        note=note or None,
        ended_by=str(member_id),
        lease_seconds=lease_seconds,
        **_why(order_cancelled(order_id)),
    )


async def refund(
    connection: Connection, *, order_id: UUID, ended_by: str, note: str, lease_seconds: float
) -> OrderRow | None:
    """Begins to undo an order that is not completed, or to refund one that is; returns None for others."""
    return await fetch_first(
        connection,
        OrderRow,
        _REFUND,
        id=order_id,
        note=note,
        ended_by=ended_by,
        lease_seconds=lease_seconds,
        **_why(order_cancelled(order_id)),
    )


def _why(refusal: DomainError) -> dict[str, object]:
    """Returns a refusal as an order keeps it."""
    return {
        "reason": refusal.reason,
        "metadata": Jsonb(refusal.metadata | {"message": refusal.message}),
    }
