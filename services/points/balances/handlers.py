"""What a member and staff see of the member's balance."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from scrip.points.v1 import admin_pb2, points_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.points.balances.balances import Balances
from services.points.ledger import get_points
from services.points.programme import Programme, RefundPolicy


class BalanceHandlers:
    """Implements GetMyBalance of PointsService and GetMemberPoints of PointsAdminService."""

    def __init__(self, db: Database, balances: Balances, programme: Programme) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme

    async def GetMyBalance(
        self, request: points_pb2.GetMyBalanceRequest, context: Context
    ) -> points_pb2.GetMyBalanceResponse:
        """Returns the caller's balance."""
        found = await self._balances.get(caller().id)
        return points_pb2.GetMyBalanceResponse(balance=found.balance, debt=found.debt)

    async def GetMemberPoints(
        self, request: admin_pb2.GetMemberPointsRequest, context: Context
    ) -> admin_pb2.GetMemberPointsResponse:
        """Returns a member's points, and what refunds may do to them."""
        found = await self._db.read(get_points, UUID(request.member_id))
        policy, floor = _policy(self._programme)
        return admin_pb2.GetMemberPointsResponse(
            balance=found.balance,
            debt=found.debt,
            refund_policy=policy,
            balance_floor=floor,
            closed=found.closed,
        )


def _policy(programme: Programme) -> tuple[admin_pb2.RefundPolicy.ValueType, int]:
    """Returns the refund policy, and how low it lets a balance go."""
    match programme.refund_policy:
        case RefundPolicy.NEGATIVE_BALANCE:
            return admin_pb2.REFUND_POLICY_NEGATIVE_BALANCE, programme.balance_floor
        case RefundPolicy.DEBT:
            return admin_pb2.REFUND_POLICY_DEBT, 0
        case _:
            assert_never(programme.refund_policy)
