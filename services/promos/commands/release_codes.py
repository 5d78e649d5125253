"""Taking an order's codes back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.promos.commands.ensure_codes import make_later


async def release_codes(connection: Connection, order_id: UUID) -> None:
    """Voids the order's codes and refuses the order for ever, known or not; a repetition does nothing.

    The set gets as many new codes as were voided. Raises ORDER_CODES_USED, when nothing is changed.
    """
    result = await connection.execute(
        text(
            "INSERT INTO assignments AS a (order_id, state, released_at)"
            " VALUES (:order_id, 'RELEASED', now())"
            " ON CONFLICT (order_id) DO UPDATE SET state = 'RELEASED', released_at = now()"
            " WHERE a.state = 'ASSIGNED' RETURNING code_set_id, quantity"
        ),
        {"order_id": order_id},
    )
    released = result.first()
    if released is None or released.code_set_id is None:
        return
    voided = await connection.execute(
        text(
            "UPDATE codes SET state = 'VOID', voided_at = now()"
            " WHERE order_id = :order_id AND state = 'ASSIGNED' AND uses = 0"
        ),
        {"order_id": order_id},
    )
    if voided.rowcount != released.quantity:
        raise DomainError("ORDER_CODES_USED", "a code of the order was used", order_id=order_id)
    replaced = await connection.execute(
        text(
            "UPDATE code_sets SET voided = voided + :count WHERE id = :id"
            " RETURNING old.made < old.wanted + old.voided"
        ),
        {"count": released.quantity, "id": released.code_set_id},
    )
    # A set that was lacking codes already has a job, which goes on until it lacks none.
    if not replaced.scalar_one():
        await make_later(connection, released.code_set_id)
