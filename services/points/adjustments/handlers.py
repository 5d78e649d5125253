"""PointsAdminService: giving one member points, and taking some."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import admin_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, read_text
from services.common.idempotent import idempotent
from services.common.ids import new_id, utc_now
from services.points.adjustments.commands.adjust_points import Adjustment, adjust_points
from services.points.balances import Balances
from services.points.ledger import EntryKind, LedgerEntry, Moved, OfAdjustment
from services.points.ledger import encoding as ledger_encoding
from services.points.programme import Programme


class AdjustmentHandlers:
    """Implements AdjustPoints of PointsAdminService."""

    def __init__(self, db: Database, balances: Balances, programme: Programme) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme

    async def AdjustPoints(
        self, request: admin_pb2.AdjustPointsRequest, context: Context
    ) -> admin_pb2.AdjustPointsResponse:
        """Gives a member points, or takes some, once per key."""
        actor = caller()
        adjustment = Adjustment(
            str(new_id()),
            UUID(request.member_id),
            request.delta,
            read_text(request.reason, "reason"),
            self._programme.expiry(utc_now()),
        )

        async def adjust(connection: Connection) -> admin_pb2.AdjustPointsResponse:
            return _adjusted(adjustment, await adjust_points(connection, actor=actor, adjustment=adjustment))

        reply = await idempotent(self._db, context, request, admin_pb2.AdjustPointsResponse, adjust)
        await self._balances.void([adjustment.member_id])
        return reply


def _adjusted(adjustment: Adjustment, moved: Moved) -> admin_pb2.AdjustPointsResponse:
    entry = LedgerEntry(
        sequence=moved.sequence,
        kind=EntryKind.ADJUST,
        delta=moved.delta,
        balance_after=moved.now.balance,
        cause=OfAdjustment(adjustment.id),
        occurred_at=moved.occurred_at,
        debt_delta=moved.debt_delta,
        reason=adjustment.reason,
    )
    return admin_pb2.AdjustPointsResponse(entry=ledger_encoding.entry(entry), debt=moved.now.debt)
