"""The saga's calls to points and promos."""

from __future__ import annotations

from uuid import UUID

import grpc
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels
from services.common.errors import OutcomeUnknownError
from services.vouchers.orders.queries import OrderRow


class OrderPoints:
    """Takes points for orders and gives them back."""

    def __init__(self, points: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = points_pb2_grpc.PointsInternalServiceStub(points)
        self._token = token

    async def debit(self, order: OrderRow) -> None:
        """Takes the order's points, once. Raises INSUFFICIENT_POINTS and other definite refusals."""
        request = points_pb2.DebitRequest(
            order_id=str(order.id), member_id=str(order.member_id), points=order.price_points
        )
        await channels.call("points", self._stub.Debit, request, token=self._token)

    async def undo_debit(self, order: OrderRow) -> None:
        """Ensures that nothing is debited for the order, now and later."""
        request = points_pb2.UndoDebitRequest(order_id=str(order.id), member_id=str(order.member_id))
        await channels.call("points", self._stub.UndoDebit, request, token=self._token)


class OrderCodes:
    """Has codes given to orders and taken back."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def assign(self, order: OrderRow) -> UUID:
        """Gives the order a code, always the same; returns its id.

        Raises OutcomeUnknownError while none is ready, and definite refusals.
        """
        request = promos_pb2.AssignCodesRequest(
            order_id=str(order.id),
            code_set_id=str(order.voucher_id),
            owner_member_id=str(order.member_id),
            quantity=1,
        )
        reply = await channels.call("promos", self._stub.AssignCodes, request, token=self._token)
        if len(reply.code_ids) != 1:
            raise OutcomeUnknownError("promos", failed=True)
        return UUID(reply.code_ids[0])

    async def release(self, order: OrderRow) -> None:
        """Ensures that the order owns no usable code, now and later."""
        request = promos_pb2.ReleaseCodesRequest(order_id=str(order.id))
        await channels.call("promos", self._stub.ReleaseCodes, request, token=self._token)
