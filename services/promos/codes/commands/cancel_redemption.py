"""Taking a redemption back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, fetch_first
from services.promos.codes.commands.code_states import tell_code_states
from services.promos.codes.queries import RedemptionRow, get_redemption
from services.promos.codes.refusals import redemption_too_old

_EVER = timedelta(days=365_000)


@dataclass(frozen=True, slots=True)
class _Cancelled:
    code_id: UUID
    order_id: UUID | None


async def cancel_redemption(
    connection: Connection, *, actor: Caller, redemption_id: UUID, within: timedelta = _EVER
) -> RedemptionRow:
    """Gives the use back, once; a repetition returns the same. A till cancels its own, staff any.

    A code that expired or was withdrawn meanwhile gets its use back too, which makes it no better.
    Raises REDEMPTION_NOT_FOUND, and REDEMPTION_TOO_OLD when it was redeemed longer than `within` ago.
    """
    caller_id = None if actor.is_staff else actor.id
    cancelled = await fetch_first(
        connection,
        _Cancelled,
        """
        WITH cancelled AS (
          UPDATE redemptions SET
            cancelled_at = now(), cancelled_by = %(actor_id)s, cancelled_by_role = %(actor_role)s
          WHERE id = %(id)s AND cancelled_at IS NULL AND redeemed_at > now() - %(within)s
            AND (%(caller_id)s::uuid IS NULL OR caller_id = %(caller_id)s)
          RETURNING code_id, code_set_id, member_id, counted
        ), given_back AS (
          UPDATE codes c SET uses = c.uses - 1, version = c.version + 1
          FROM cancelled WHERE c.id = cancelled.code_id
          RETURNING c.id AS code_id, c.order_id
        ), count AS (
          UPDATE member_uses u SET uses = u.uses - 1
          FROM given_back, cancelled
          WHERE cancelled.counted
            AND u.code_set_id = cancelled.code_set_id AND u.member_id = cancelled.member_id
        )
        SELECT code_id, order_id FROM given_back
        """,
        id=redemption_id,
        actor_id=actor.id,
        actor_role=actor.role,
        within=within,
        caller_id=caller_id,
    )
    if cancelled is not None:
        if actor.is_staff:
            await audit.record(
                connection, actor, "redemption.cancelled", redemption_id, code_id=cancelled.code_id
            )
        if cancelled.order_id is not None:
            await tell_code_states(connection, [cancelled.code_id])
    kept = await get_redemption(connection, redemption_id, caller_id=caller_id)
    if kept.cancelled_at is None:
        raise redemption_too_old(redemption_id, kept.redeemed_at + within)
    return kept
