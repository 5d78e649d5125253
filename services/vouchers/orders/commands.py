"""Writes that move orders on; placing them stands in `new_orders.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_all, fetch_first
from services.common.ids import new_id
from services.common.set_aside import ORDER, waits
from services.vouchers.catalogue import lock_vouchers
from services.vouchers.gifts import Gift, end_gifts_of_order, forget_recipient_later, offer_order
from services.vouchers.orders import statements, transitions
from services.vouchers.orders.queries import COLUMNS, OrderRow, get_member_order, get_order
from services.vouchers.orders.refusals import ORDER_CANCELLED, order_not_cancellable, order_not_refundable


@dataclass(frozen=True, slots=True)
class Completion:
    """An order that is paid, and the codes that it was given: one for each piece."""

    order_id: UUID
    code_ids: Sequence[UUID]
    is_gift: bool = False


async def complete_orders(
    connection: Connection, paid: Sequence[Completion], *, gifts_last: timedelta
) -> list[OrderRow | None]:
    """PENDING -> COMPLETED, with a voucher in the wallet for each code; those of gifts are on offer at once.

    Returns the orders as they are then; None for one that is not pending. Without gifts it is one statement.
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
    for row in rows:
        if row.recipient_hash is not None:
            gift = Gift(row.recipient_hash, row.recipient_name or "", row.gift_message or "", gifts_last)
            await offer_order(
                connection,
                order_id=row.id,
                giver_id=row.member_id,
                wallet_voucher_ids=row.wallet_voucher_ids,
                gift=gift,
            )
    completed = {row.id: row for row in rows}
    return [completed.get(one.order_id) for one in paid]


async def fail_order(connection: Connection, order: OrderRow) -> OrderRow | None:
    """UNDOING -> FAILED or CANCELLED, REFUNDING -> REFUNDED; stock and limits get back what was ordered.

    Returns None when the order is in none of these states.
    """
    await lock_vouchers(connection, [order.voucher_id])
    failed = await fetch_first(connection, OrderRow, statements.FAIL, id=order.id)
    if failed is None:
        return None
    if failed.state == "REFUNDED":
        await end_gifts_of_order(connection, order.id)
    if failed.recipient_hash is not None:
        await forget_recipient(connection, order.id)
        await forget_recipient_later(connection, order.id)
    return failed


async def forget_recipient(connection: Connection, order_id: UUID) -> None:
    """Erases for whom an order was, if it was a gift."""
    await execute(
        connection,
        """
        UPDATE orders SET recipient_hash = NULL, recipient_name = NULL, gift_message = NULL
        WHERE id = %(id)s AND recipient_hash IS NOT NULL
        """,
        id=order_id,
    )


async def cancel_order(
    connection: Connection, *, order_id: UUID, member_id: UUID, note: str, lease_seconds: float
) -> OrderRow:
    """Begins to undo or refund the member's order, and returns it; one that is on its way there stays so.

    Raises ORDER_NOT_FOUND, and ORDER_NOT_CANCELLABLE when it failed or may not be cancelled any more.
    """
    begun = await transitions.cancel(
        connection, order_id=order_id, member_id=member_id, note=note, lease_seconds=lease_seconds
    )
    if begun is not None:
        return begun
    order = await get_member_order(connection, order_id, member_id)
    if order.state in ("REFUNDING", "REFUNDED") or order.failure_reason == ORDER_CANCELLED:
        return order
    if order.state == "COMPLETED":
        raise order_not_cancellable(order_id, "TOO_LATE" if order.cancellable_until else "NEVER")
    raise order_not_cancellable(order_id, "FAILED")


async def refund_order(
    connection: Connection, *, actor: Caller, order_id: UUID, note: str, lease_seconds: float
) -> OrderRow:
    """Begins to undo or refund an order, and returns it. Raises ORDER_NOT_FOUND and ORDER_NOT_REFUNDABLE."""
    begun = await transitions.refund(
        connection, order_id=order_id, ended_by=actor.subject, note=note, lease_seconds=lease_seconds
    )
    if begun is None:
        raise order_not_refundable(order_id, (await get_order(connection, order_id)).state)
    await audit.record(connection, actor, "order.refund_begun", order_id, note=note)
    return begun


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
    connection: Connection, *, lease_seconds: float, most: int
) -> Sequence[OrderRow]:
    """Returns orders whose time is over, each with a new one: no two sweeps take the same.

    Those that are set aside wait for their own time.
    """
    return await fetch_all(connection, OrderRow, _CLAIM_OVERDUE, lease_seconds=lease_seconds, most=most)
