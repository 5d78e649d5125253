"""Whether a member has bought anything before, as points knows it."""

from __future__ import annotations

from uuid import UUID

from scrip.points.internal.v1 import points_pb2, points_pb2_grpc

from services.common.channels import Peers, call
from services.promos.baskets.sales import Sale


class Purchases:
    """Asks points for purchases."""

    def __init__(self, peers: Peers) -> None:
        self._stub = points_pb2_grpc.PointsInternalServiceStub(peers.points)
        self._token = peers.token

    async def has_any(self, member_id: UUID, *, besides: Sale | None) -> bool:
        """Returns whether a member has bought anything, `besides` one sale.

        Raises OutcomeUnknownError when points does not reply.
        """
        request = points_pb2.HasPurchasesRequest(member_id=str(member_id))
        if besides:
            request.client_id = str(besides.caller_id)
            request.till_number = besides.till_number
            request.receipt_number = besides.sale_reference
        reply = await call("points", self._stub.HasPurchases, request, token=self._token)
        return bool(reply.has_purchases)
