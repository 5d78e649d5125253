"""Using a code for a sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, fetch_first
from services.common.errors import overloaded
from services.common.ids import new_id
from services.promos.benefits import BenefitColumns, benefit_of, values
from services.promos.codes import queries, refusals
from services.promos.codes.queries import RedemptionRow

_TRIES = 3


@dataclass(frozen=True, slots=True)
class _Claimed:
    code_id: UUID
    code_set_id: UUID
    redeemed_at: datetime


async def redeem_code(
    connection: Connection, *, actor: Caller, code: str, till_number: str, sale_reference: str
) -> RedemptionRow:
    """Uses a code once per (caller, till number, sale reference); a repetition returns the same.

    Raises CODE_NOT_VALID, CODE_VOID, CODE_ALREADY_USED, CODE_EXPIRED or REDEMPTION_CANCELLED.
    """
    redemption_id = new_id()
    claimed = await fetch_first(
        connection,
        _Claimed,
        """
        INSERT INTO redemptions (id, code_id, code_set_id, caller_id, till_number, sale_reference)
        SELECT %(id)s, id, code_set_id, %(caller_id)s, %(till_number)s, %(sale_reference)s FROM codes
        WHERE code = %(code)s AND state <> 'READY'
        ON CONFLICT ON CONSTRAINT uq_redemptions_sale DO NOTHING
        RETURNING code_id, code_set_id, redeemed_at
        """,
        id=redemption_id,
        code=code,
        caller_id=actor.id,
        till_number=till_number,
        sale_reference=sale_reference,
    )
    if claimed is None:
        return await _redeemed_before(connection, actor, code, till_number, sale_reference)
    used = await _use(connection, claimed.code_id, code, redemption_id)
    if actor.is_staff:
        details = {
            "redemption_id": redemption_id,
            "till_number": till_number,
            "sale_reference": sale_reference,
        }
        await audit.record(connection, actor, "code.redeemed", claimed.code_id, **details)
    return RedemptionRow(
        **values(used.benefit),
        id=redemption_id,
        code_id=claimed.code_id,
        code_set_id=claimed.code_set_id,
        redeemed_by=actor.id,
        till_number=till_number,
        sale_reference=sale_reference,
        redeemed_at=claimed.redeemed_at,
        cancelled_at=None,
    )


_USE = SQL(
    """
    UPDATE codes c SET uses = c.uses + 1 FROM code_sets s
    WHERE c.id = %(id)s AND s.id = c.code_set_id AND c.state = 'ASSIGNED'
      AND c.uses < c.uses_allowed
      AND (c.expires_at IS NULL OR c.expires_at > now()) AND (s.expires_at IS NULL OR s.expires_at > now())
    RETURNING {benefit}
    """
).format(benefit=benefit_of("s"))


async def _use(connection: Connection, code_id: UUID, code: str, redemption_id: UUID) -> BenefitColumns:
    for _ in range(_TRIES):
        used = await fetch_first(
            connection,
            BenefitColumns,
            _USE,
            id=code_id,
        )
        if used is not None:
            return used
        # Raises the reason, unless the redemption that stood in the way was cancelled in between.
        await queries.verify_code(connection, code=code, besides=redemption_id)
    raise overloaded("codes")


async def _redeemed_before(
    connection: Connection, actor: Caller, code: str, till_number: str, sale_reference: str
) -> RedemptionRow:
    kept = await queries.redemption_of_sale(
        connection, code=code, caller_id=actor.id, till_number=till_number, sale_reference=sale_reference
    )
    if kept is None:
        raise refusals.code_not_valid()
    if kept.cancelled_at is not None:
        raise refusals.redemption_cancelled(kept.id)
    return kept
