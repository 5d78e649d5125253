"""The catalogue's calls to points."""

from __future__ import annotations

from uuid import UUID

import grpc
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc

from services.common import channels


class Balances:
    """Reads what members have."""

    def __init__(self, points: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = points_pb2_grpc.PointsInternalServiceStub(points)
        self._token = token

    async def of(self, member_id: UUID) -> int:
        """Returns how many points a member can spend. Raises OutcomeUnknownError when points is away."""
        request = points_pb2.GetBalanceRequest(member_id=str(member_id))
        reply = await channels.call("points", self._stub.GetBalance, request, token=self._token)
        return int(reply.balance)
