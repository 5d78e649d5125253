"""PointsAdminService: what staff see of a member's points, and do to them."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import admin_pb2

from services.common.caller import caller
from services.common.encoding import Context, header
from services.common.idempotency import parse_key, run_once
from services.common.ids import new_id, utc_now
from services.common.legacy_db import Connection, Database
from services.points import encoding
from services.points.adjustments.commands.adjust_points import ADJUST, Adjustment, adjust_points
from services.points.adjustments.import_handlers import ImportHandlers
from services.points.balances import queries as accounts
from services.points.balances.balances import Balances
from services.points.ledger.commands.move_points import Moved
from services.points.ledger.entry_queries import EntryRow
from services.points.ledger.member_lists import page_of_entries, page_of_expiries
from services.points.programme import Programme, RefundPolicy
from services.points.purchases.purchase import Balance

_POLICIES = {
    RefundPolicy.NEGATIVE_BALANCE: admin_pb2.REFUND_POLICY_NEGATIVE_BALANCE,
    RefundPolicy.DEBT: admin_pb2.REFUND_POLICY_DEBT,
}


class PointsAdminHandlers(ImportHandlers):
    """Implements PointsAdminService."""

    def __init__(self, db: Database, balances: Balances, programme: Programme) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme

    async def GetMemberPoints(
        self, request: admin_pb2.GetMemberPointsRequest, context: Context
    ) -> admin_pb2.GetMemberPointsResponse:
        """A member's points, and what refunds may do to them."""
        found = await self._db.read(accounts.get_member_points, UUID(request.member_id))
        policy = self._programme.refund_policy
        below_zero = policy is RefundPolicy.NEGATIVE_BALANCE
        return admin_pb2.GetMemberPointsResponse(
            balance=found.balance,
            debt=found.debt,
            refund_policy=_POLICIES[policy],
            balance_floor=self._programme.balance_floor if below_zero else 0,
            closed=found.closed,
        )

    async def ListMemberEntries(
        self, request: admin_pb2.ListMemberEntriesRequest, context: Context
    ) -> admin_pb2.ListMemberEntriesResponse:
        """A page of a member's ledger."""
        rows, next_token = await page_of_entries(self._db, request, UUID(request.member_id))
        return admin_pb2.ListMemberEntriesResponse(entries=rows, next_page_token=next_token)

    async def ListMemberExpiries(
        self, request: admin_pb2.ListMemberExpiriesRequest, context: Context
    ) -> admin_pb2.ListMemberExpiriesResponse:
        """A page of what a member loses and when."""
        rows, next_token = await page_of_expiries(self._db, request, UUID(request.member_id))
        return admin_pb2.ListMemberExpiriesResponse(expiries=rows, next_page_token=next_token)

    async def AdjustPoints(
        self, request: admin_pb2.AdjustPointsRequest, context: Context
    ) -> admin_pb2.AdjustPointsResponse:
        """Gives a member points, or takes some, once per key."""
        actor = caller()
        key = parse_key(header(context, "idempotency-key"), required=True)
        encoding.refuse_nul(reason=request.reason)
        adjustment = Adjustment(
            str(new_id()),
            UUID(request.member_id),
            request.delta,
            request.reason,
            self._programme.expiry(utc_now()),
        )
        changed: list[Balance] = []

        async def adjust(connection: Connection) -> bytes:
            moved = await adjust_points(connection, actor=actor, adjustment=adjustment)
            changed.append(moved.now)
            return _adjusted(adjustment, moved).SerializeToString()

        content = request.SerializeToString(deterministic=True)
        reply = await self._db.run(run_once, (actor.subject, "AdjustPoints", key), content, adjust)
        if changed:
            await self._balances.changed(changed[-1:])
        else:
            await self._balances.renew(adjustment.member_id)
        return admin_pb2.AdjustPointsResponse.FromString(reply)


def _adjusted(adjustment: Adjustment, moved: Moved) -> admin_pb2.AdjustPointsResponse:
    row = EntryRow(
        moved.sequence,
        ADJUST,
        moved.delta,
        moved.now.balance,
        adjustment.id,
        moved.occurred_at,
        moved.debt_delta,
        adjustment.reason,
    )
    return admin_pb2.AdjustPointsResponse(entry=encoding.entry(row), debt=moved.now.debt)
