"""OrderService: cancelling and refunding orders."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.idempotent import idempotent
from services.vouchers.orders.commands import cancel_order, refund_order
from services.vouchers.orders.encoding import encode_order, shown
from services.vouchers.orders.queries import OrderRow, get_order
from services.vouchers.orders.refusals import order_codes_used
from services.vouchers.orders.saga import OrderSaga


class EndingHandlers:
    """Implements what ends orders, for members and for staff."""

    def __init__(self, db: Database, saga: OrderSaga, *, lease_seconds: float, wait_seconds: float) -> None:
        self._db = db
        self._saga = saga
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds

    async def CancelMyOrder(
        self, request: order_pb2.CancelMyOrderRequest, context: Context
    ) -> order_pb2.CancelMyOrderResponse:
        """Has one of the caller's orders undone, and waits for it, but not for ever."""
        begun = await self._db.run(
            cancel_order,
            order_id=UUID(request.order_id),
            member_id=caller().id,
            note=request.note,
            lease_seconds=self._lease_seconds,
        )
        [order] = await shown(self._db, [await self._ended(begun)])
        return order_pb2.CancelMyOrderResponse(order=order)

    async def RefundOrder(
        self, request: order_pb2.RefundOrderRequest, context: Context
    ) -> order_pb2.RefundOrderResponse:
        """Has any order undone, once per key, and waits for it, but not for ever."""
        order_id = UUID(request.order_id)

        async def begin(connection: Connection) -> order_pb2.RefundOrderResponse:
            row = await refund_order(
                connection,
                actor=caller(),
                order_id=order_id,
                note=request.note,
                lease_seconds=self._lease_seconds,
            )
            return order_pb2.RefundOrderResponse(order=encode_order(row, to_staff=True))

        await idempotent(self._db, context, request, order_pb2.RefundOrderResponse, begin)
        present = await self._db.read(get_order, order_id)
        [order] = await shown(self._db, [await self._ended(present)], to_staff=True)
        return order_pb2.RefundOrderResponse(order=order)

    async def _ended(self, begun: OrderRow) -> OrderRow:
        """Returns an order that is being undone, as it is then. Raises ORDER_CODES_USED."""
        if begun.open:
            await self._saga.finish(begun, seconds=self._wait_seconds)
        order = await self._db.read(get_order, begun.id)
        if order.state == "COMPLETED":
            raise order_codes_used(order.id)
        return order
