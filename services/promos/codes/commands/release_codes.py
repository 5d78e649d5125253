"""Taking an order's codes back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_first, fetch_value, fetch_values
from services.promos.codes.commands.code_sets import make_later
from services.promos.codes.commands.code_states import tell_code_states
from services.promos.codes.refusals import order_codes_used


@dataclass(frozen=True, slots=True)
class _Released:
    code_set_id: UUID | None
    owner_member_id: UUID | None
    quantity: int | None


async def release_codes(connection: Connection, order_id: UUID) -> None:
    """Voids the order's codes and refuses the order for ever, known or not; a repetition does nothing.

    The set gets as many new codes as were voided. Raises ORDER_CODES_USED, also when one was given to another
    member, and then nothing is changed.
    """
    released = await fetch_first(
        connection,
        _Released,
        """
        INSERT INTO assignments AS a (order_id, state, released_at) VALUES (%(order_id)s, 'RELEASED', now())
        ON CONFLICT (order_id) DO UPDATE SET state = 'RELEASED', released_at = now()
        WHERE a.state = 'ASSIGNED'
        RETURNING code_set_id, owner_member_id, quantity
        """,
        order_id=order_id,
    )
    if released is None or released.code_set_id is None:
        return
    void_ids = await fetch_values(
        connection,
        """
        UPDATE codes SET
          state = 'VOID', voided_at = now(), void_reason = 'ORDER_RELEASED', version = version + 1
        WHERE order_id = %(order_id)s AND state = 'ASSIGNED' AND uses = 0
          AND owner_member_id = %(owner)s
        RETURNING id
        """,
        order_id=order_id,
        owner=released.owner_member_id,
    )
    voided, quantity = len(void_ids), released.quantity or 0
    if voided < quantity and await _is_used(connection, order_id):
        raise order_codes_used(order_id)
    await tell_code_states(connection, void_ids)
    # Those that staff withdrew got no successors, which are due now that the stock comes back.
    was_lacking = await fetch_value(
        connection,
        """
        UPDATE code_sets SET voided = voided + %(count)s, wanted = wanted + %(withdrawn)s WHERE id = %(id)s
        RETURNING old.made < old.wanted + old.voided
        """,
        count=voided,
        withdrawn=quantity - voided,
        id=released.code_set_id,
    )
    # A set that was lacking codes already has a job, which goes on until it lacks none.
    if not was_lacking:
        await make_later(connection, released.code_set_id)


async def _is_used(connection: Connection, order_id: UUID) -> bool:
    """Returns whether one that is not void now was used or given to another member."""
    used = """
        SELECT EXISTS (
          SELECT FROM codes WHERE order_id = %(order_id)s AND (uses > 0 OR state = 'ASSIGNED')
        )
    """
    return bool(await fetch_value(connection, used, order_id=order_id))
