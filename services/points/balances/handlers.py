"""What a member and staff see of the member's balance."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import admin_pb2, points_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.points.balances import encoding
from services.points.balances.balances import Balances
from services.points.ledger import get_points
from services.points.programme import PointValue, Programme, RefundPolicy


class BalanceHandlers:
    """Implements GetMyBalance of PointsService and GetMemberPoints of PointsAdminService."""

    def __init__(
        self, db: Database, balances: Balances, programme: Programme, point_value: PointValue | None
    ) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme
        self._point_value = point_value

    async def GetMyBalance(
        self, request: points_pb2.GetMyBalanceRequest, context: Context
    ) -> points_pb2.GetMyBalanceResponse:
        """Returns the caller's balance, and what it is worth."""
        found = await self._balances.get(caller().id)
        reply = points_pb2.GetMyBalanceResponse(balance=found.balance, debt=found.debt)
        if self._point_value:
            reply.value.currency_code = self._point_value.currency_code
            reply.value.amount_minor = self._point_value.of(found.balance)
        return reply

    async def GetMemberPoints(
        self, request: admin_pb2.GetMemberPointsRequest, context: Context
    ) -> admin_pb2.GetMemberPointsResponse:
        """Returns a member's points, and what refunds may do to them."""
        found = await self._db.read(get_points, UUID(request.member_id))
        policy = self._programme.refund_policy
        floor = self._programme.balance_floor if policy is RefundPolicy.NEGATIVE_BALANCE else 0
        return admin_pb2.GetMemberPointsResponse(
            balance=found.balance,
            debt=found.debt,
            refund_policy=encoding.refund_policy(policy),
            balance_floor=floor,
            closed=found.closed,
        )
