"""Using a code for a sale."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import DomainError, overloaded
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.promos import queries, refusals
from services.promos.values import Benefit, RedemptionRow

_TRIES = 3


async def redeem_code(
    connection: Connection, *, actor: Caller, code: str, sale_reference: str
) -> RedemptionRow:
    """Uses a code once per (caller, sale reference); a repetition gets the same answer.

    Raises CODE_NOT_VALID, CODE_VOID, CODE_ALREADY_USED, CODE_EXPIRED or REDEMPTION_CANCELLED.
    """
    redemption_id = new_id()
    claimed = await connection.execute(
        text(
            "INSERT INTO redemptions (id, code_id, caller_id, sale_reference)"
            " SELECT :id, id, :caller_id, :sale_reference FROM codes WHERE code = :code AND state <> 'READY'"
            " ON CONFLICT ON CONSTRAINT uq_redemptions_sale DO NOTHING RETURNING code_id, redeemed_at"
        ),
        {"id": redemption_id, "code": code, "caller_id": actor.id, "sale_reference": sale_reference},
    )
    row = claimed.first()
    if row is None:
        return await _redeemed_before(connection, actor, code, sale_reference)
    benefit = await _use(connection, row.code_id, code, redemption_id)
    if actor.is_staff:
        details = {"redemption_id": redemption_id, "sale_reference": sale_reference}
        await audit.record(connection, actor, "code.redeemed", row.code_id, **details)
    return RedemptionRow(redemption_id, row.code_id, sale_reference, row.redeemed_at, None, benefit)


async def _use(connection: Connection, code_id: UUID, code: str, redemption_id: UUID) -> Benefit:
    for _ in range(_TRIES):
        used = await connection.execute(
            text(
                "UPDATE codes c SET uses = c.uses + 1 FROM code_sets s"
                " WHERE c.id = :id AND s.id = c.code_set_id AND c.state = 'ASSIGNED'"
                " AND c.uses < c.uses_allowed AND (c.expires_at IS NULL OR c.expires_at > now())"
                " RETURNING s.amount_off_minor, s.currency_code, s.percent_off"
            ),
            {"id": code_id},
        )
        benefit = used.first()
        if benefit is not None:
            return Benefit(*benefit)
        # Raises the reason, unless the redemption that stood in the way was cancelled in between.
        await queries.verify_code(connection, code=code, besides=redemption_id)
    raise overloaded("codes")


async def _redeemed_before(
    connection: Connection, actor: Caller, code: str, sale_reference: str
) -> RedemptionRow:
    kept = await queries.redemption_of_sale(
        connection, code=code, caller_id=actor.id, sale_reference=sale_reference
    )
    if kept is None:
        raise refusals.code_not_valid()
    if kept.cancelled_at is not None:
        raise DomainError(
            "REDEMPTION_CANCELLED",
            "this sale's redemption was cancelled; a new sale needs a new reference",
            redemption_id=kept.id,
        )
    return kept
