"""Taking a redemption back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.promos import queries
from services.promos.values import RedemptionRow


async def cancel_redemption(connection: Connection, *, actor: Caller, redemption_id: UUID) -> RedemptionRow:
    """Gives the use back, once; a repetition gets the same answer. A till cancels its own, staff any.

    Raises REDEMPTION_NOT_FOUND.
    """
    caller_id = None if actor.is_staff else actor.id
    result = await connection.execute(
        text(
            "WITH cancelled AS (UPDATE redemptions SET cancelled_at = now() WHERE id = :id"
            " AND cancelled_at IS NULL AND (CAST(:caller_id AS uuid) IS NULL OR caller_id = :caller_id)"
            " RETURNING code_id)"
            " UPDATE codes SET uses = uses - 1 FROM cancelled WHERE codes.id = cancelled.code_id"
            " RETURNING codes.id"
        ),
        {"id": redemption_id, "caller_id": caller_id},
    )
    code_id = result.scalar_one_or_none()
    if code_id is not None and actor.is_staff:
        await audit.record(connection, actor, "redemption.cancelled", redemption_id, code_id=code_id)
    return await queries.get_redemption(connection, redemption_id, caller_id=caller_id)
