"""The saga's calls to points and promos: those for many orders at once share one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels, status
from services.common.batching import Batcher
from services.common.errors import DomainError, OutcomeUnknownError
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.refusals import CODES_NOT_READY, codes_not_ready


class OrderPoints:
    """Takes points for orders and gives them back."""

    def __init__(self, points: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = points_pb2_grpc.PointsInternalServiceStub(points)
        self._token = token
        self._debits = Batcher("debits", self._debit_batch)

    async def debit(self, order: OrderRow) -> None:
        """Takes the order's points, once. Raises INSUFFICIENT_POINTS and other definite refusals."""
        await self._debits.submit(order)

    async def undo_debit(self, order: OrderRow) -> None:
        """Ensures that nothing is debited for the order, now and later."""
        request = points_pb2.UndoDebitRequest(order_id=str(order.id), member_id=str(order.member_id))
        await channels.call("points", self._stub.UndoDebit, request, token=self._token)

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._debits.close()

    async def _debit_batch(self, orders: list[OrderRow]) -> list[DomainError | None]:
        request = points_pb2.BatchDebitRequest(
            orders=[
                points_pb2.DebitRequest(
                    order_id=str(order.id), member_id=str(order.member_id), points=order.price_points
                )
                for order in orders
            ]
        )
        reply = await channels.call("points", self._stub.BatchDebit, request, token=self._token)
        return [
            status.from_status(outcome.refused, "points") if outcome.HasField("refused") else None
            for outcome in _for_each(orders, reply.outcomes, "points")
        ]


class OrderCodes:
    """Has codes given to orders and taken back."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token
        self._assignments = Batcher("assignments", self._assign_batch)

    async def assign(self, order: OrderRow) -> list[UUID]:
        """Gives the order a code for each piece, always the same; returns their ids.

        Raises CODES_NOT_READY and CODE_SET_NOT_FOUND while there are too few, and definite refusals.
        """
        return await self._assignments.submit(order)

    async def release(self, order: OrderRow) -> None:
        """Ensures that the order owns no usable code, now and later."""
        request = promos_pb2.ReleaseCodesRequest(order_id=str(order.id))
        await channels.call("promos", self._stub.ReleaseCodes, request, token=self._token)

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._assignments.close()

    async def _assign_batch(self, orders: list[OrderRow]) -> list[list[UUID] | DomainError]:
        request = promos_pb2.BatchAssignCodesRequest(
            orders=[
                promos_pb2.AssignCodesRequest(
                    order_id=str(order.id),
                    code_set_id=str(order.voucher_id),
                    owner_member_id=str(order.member_id),
                    quantity=order.quantity,
                )
                for order in orders
            ]
        )
        reply = await channels.call("promos", self._stub.BatchAssignCodes, request, token=self._token)
        outcomes = _for_each(orders, reply.outcomes, "promos")
        return [_assigned(order, outcome) for order, outcome in zip(orders, outcomes, strict=True)]


def _assigned(order: OrderRow, outcome: promos_pb2.AssignCodesOutcome) -> list[UUID] | DomainError:
    if outcome.HasField("refused"):
        if status.reason_of(outcome.refused) == CODES_NOT_READY:  # nothing about it is unknown
            return codes_not_ready(order.voucher_id)
        return status.from_status(outcome.refused, "promos")
    if len(outcome.assigned.code_ids) != order.quantity:
        return OutcomeUnknownError("promos", failed=True)
    return [UUID(code_id) for code_id in outcome.assigned.code_ids]


def _for_each(orders: Sequence[OrderRow], outcomes: Sequence[Any], dependency: str) -> Sequence[Any]:
    """Returns the outcomes. Raises OutcomeUnknownError unless there is one for each order, in their order."""
    if [outcome.order_id for outcome in outcomes] != [str(order.id) for order in orders]:
        raise OutcomeUnknownError(dependency, failed=True)
    return outcomes
