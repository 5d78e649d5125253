"""Taking an order's codes back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_first, fetch_value
from services.promos.codes.commands.code_sets import make_later
from services.promos.codes.refusals import order_codes_used


@dataclass(frozen=True, slots=True)
class _Released:
    code_set_id: UUID | None
    quantity: int | None


async def release_codes(connection: Connection, order_id: UUID) -> None:
    """Voids the order's codes and refuses the order for ever, known or not; a repetition does nothing.

    The set gets as many new codes as were voided. Raises ORDER_CODES_USED, when nothing is changed.
    """
    released = await fetch_first(
        connection,
        _Released,
        """
        INSERT INTO assignments AS a (order_id, state, released_at) VALUES (%(order_id)s, 'RELEASED', now())
        ON CONFLICT (order_id) DO UPDATE SET state = 'RELEASED', released_at = now()
        WHERE a.state = 'ASSIGNED'
        RETURNING code_set_id, quantity
        """,
        order_id=order_id,
    )
    if released is None or released.code_set_id is None:
        return
    voided = await execute(
        connection,
        """
        UPDATE codes SET state = 'VOID', voided_at = now(), version = version + 1
        WHERE order_id = %(order_id)s AND state = 'ASSIGNED' AND uses = 0
        """,
        order_id=order_id,
    )
    if voided != released.quantity:
        raise order_codes_used(order_id)
    was_lacking = await fetch_value(
        connection,
        """
        UPDATE code_sets SET voided = voided + %(count)s WHERE id = %(id)s
        RETURNING old.made < old.wanted + old.voided
        """,
        count=voided,
        id=released.code_set_id,
    )
    # A set that was lacking codes already has a job, which goes on until it lacks none.
    if not was_lacking:
        await make_later(connection, released.code_set_id)
