"""What other services ask of balances: a part of PointsInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.points.internal.v1 import points_pb2

from services.common.encoding import Context
from services.points.balances.balances import Balances


class AskedBalanceHandlers:
    """Implements GetBalance."""

    def __init__(self, balances: Balances) -> None:
        self._balances = balances

    async def GetBalance(
        self, request: points_pb2.GetBalanceRequest, context: Context
    ) -> points_pb2.GetBalanceResponse:
        """Returns a member's balance."""
        found = await self._balances.get(UUID(request.member_id))
        return points_pb2.GetBalanceResponse(balance=found.balance, debt=found.debt)
