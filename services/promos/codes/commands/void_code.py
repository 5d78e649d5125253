"""Withdrawing a code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, fetch_first, fetch_one
from services.promos.codes import refusals
from services.promos.codes.code_lists import ListedCode, get_code
from services.promos.codes.commands.code_sets import make_later
from services.promos.codes.commands.code_states import tell_code_states


@dataclass(frozen=True, slots=True)
class _Voided:
    code_set_id: UUID
    now_lacking: bool | None
    """Whether this made the set lack codes; None for a campaign's, which counts none."""


async def void_code(
    connection: Connection, *, actor: Caller, code_id: UUID, brand_id: UUID | None, note: str
) -> ListedCode:
    """Withdraws a code for good; a repetition changes nothing. With `brand_id`, only one of this brand's.

    One that nobody has yet gets a successor, for the voucher or discount has promised as many, unless its set
    is closed. Raises
    CODE_NOT_VALID, and CODE_ALREADY_USED for one that is used up.
    """
    voided = await fetch_first(
        connection,
        _Voided,
        """
        WITH voided AS (
          UPDATE codes c SET
            state = 'VOID', voided_at = now(), voided_by = %(actor)s, voided_by_role = %(role)s,
            void_reason = 'STAFF', void_note = %(note)s, version = c.version + 1
          FROM code_sets s
          WHERE c.id = %(id)s AND s.id = c.code_set_id AND c.state <> 'VOID' AND c.uses < c.uses_allowed
            AND (%(brand_id)s::uuid IS NULL OR s.brand_id = %(brand_id)s)
          RETURNING
            c.code_set_id, s.purpose <> 'CAMPAIGN' AS counted,
            (old.state = 'READY' AND NOT s.closed)::int AS replaced
        ), counted AS (
          UPDATE code_sets s SET voided = s.voided + 1, wanted = s.wanted - 1 + v.replaced
          FROM voided v WHERE s.id = v.code_set_id AND v.counted
          RETURNING old.made >= old.wanted + old.voided AND v.replaced > 0 AS now_lacking
        )
        SELECT v.code_set_id, c.now_lacking FROM voided v LEFT JOIN counted c ON true
        """,
        id=code_id,
        actor=actor.id,
        role=actor.role,
        note=note,
        brand_id=brand_id,
    )
    if voided is None:
        return await _why_not(connection, code_id, brand_id)
    # A set that was lacking codes already has a job, which goes on until it lacks none.
    if voided.now_lacking:
        await make_later(connection, voided.code_set_id)
    await tell_code_states(connection, [code_id])
    details = {"code_set_id": voided.code_set_id, "note": note}
    await audit.record(connection, actor, "code.voided", code_id, **details)
    return await get_code(connection, code_id, brand_id=brand_id)


@dataclass(frozen=True, slots=True)
class _LastUse:
    redeemed_at: datetime


async def _why_not(connection: Connection, code_id: UUID, brand_id: UUID | None) -> ListedCode:
    code = await get_code(connection, code_id, brand_id=brand_id)
    if code.state == "VOID":
        return code
    last = await fetch_one(
        connection,
        _LastUse,
        "SELECT max(redeemed_at) AS redeemed_at FROM redemptions WHERE code_id = %(id)s",
        id=code_id,
    )
    raise refusals.code_already_used(code_id, last.redeemed_at)
