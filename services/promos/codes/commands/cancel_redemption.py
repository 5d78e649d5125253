"""Taking a redemption back."""

from __future__ import annotations

from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, fetch_value
from services.promos.codes.queries import RedemptionRow, get_redemption


async def cancel_redemption(connection: Connection, *, actor: Caller, redemption_id: UUID) -> RedemptionRow:
    """Gives the use back, once; a repetition returns the same. A till cancels its own, staff any.

    Raises REDEMPTION_NOT_FOUND.
    """
    caller_id = None if actor.is_staff else actor.id
    code_id: UUID | None = await fetch_value(
        connection,
        """
        WITH cancelled AS (
          UPDATE redemptions SET cancelled_at = now()
          WHERE id = %(id)s AND cancelled_at IS NULL
            AND (%(caller_id)s::uuid IS NULL OR caller_id = %(caller_id)s)
          RETURNING code_id
        )
        UPDATE codes SET uses = uses - 1 FROM cancelled WHERE codes.id = cancelled.code_id
        RETURNING codes.id
        """,
        id=redemption_id,
        caller_id=caller_id,
    )
    if code_id is not None and actor.is_staff:
        await audit.record(connection, actor, "redemption.cancelled", redemption_id, code_id=code_id)
    return await get_redemption(connection, redemption_id, caller_id=caller_id)
