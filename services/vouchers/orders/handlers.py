"""OrderService: getting vouchers for points."""

from __future__ import annotations

import asyncio
from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, header
from services.common.errors import DomainError
from services.common.idempotency import parse_key
from services.common.paging import Page
from services.vouchers.orders import queries
from services.vouchers.orders.encoding import encode_order
from services.vouchers.orders.new_orders import NewOrder
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.saga import OrderSaga


class OrderHandlers:
    """Implements what OrderService has for members."""

    def __init__(self, db: Database, placing: Placing, saga: OrderSaga, *, wait_seconds: float) -> None:
        self._db = db
        self._placing = placing
        self._saga = saga
        self._wait_seconds = wait_seconds

    async def PlaceOrder(
        self, request: order_pb2.PlaceOrderRequest, context: Context
    ) -> order_pb2.PlaceOrderResponse:
        """Places the order and waits for it, but not for ever."""
        key = parse_key(header(context, "idempotency-key"), required=True)
        assert key is not None
        order = await self._placing.place(NewOrder(caller().id, UUID(request.voucher_id), key))
        if order.open:
            order = await self._finished(order)
        if order.state == "FAILED":
            raise _refusal(order)
        return order_pb2.PlaceOrderResponse(order=encode_order(order))

    async def GetMyOrder(
        self, request: order_pb2.GetMyOrderRequest, context: Context
    ) -> order_pb2.GetMyOrderResponse:
        """Returns one of the caller's orders."""
        row = await self._db.read(queries.get_member_order, UUID(request.order_id), caller().id)
        return order_pb2.GetMyOrderResponse(order=encode_order(row))

    async def ListMyOrders(
        self, request: order_pb2.ListMyOrdersRequest, context: Context
    ) -> order_pb2.ListMyOrdersResponse:
        """Returns a page of the caller's orders."""
        page = Page(request.page_size, request.page_token, "own orders")
        rows, next_token = await self._db.read(queries.list_member_orders, page, caller().id)
        return order_pb2.ListMyOrdersResponse(orders=map(encode_order, rows), next_page_token=next_token)

    async def _finished(self, order: OrderRow) -> OrderRow:
        """Returns the order when it has ended, or as it is when the time to wait is over."""
        task = self._saga.start(order)
        await asyncio.wait([task], timeout=self._wait_seconds)
        if task.done():
            order = task.result()
        return await self._db.read(queries.get_order, order.id) if order.open else order


def _refusal(order: OrderRow) -> DomainError:
    """Returns why the order failed, the same for every repetition of the call that placed it."""
    metadata = dict(order.failure_metadata or {})
    refusal = DomainError(order.failure_reason or "INTERNAL", metadata.pop("message", "the order failed"))
    refusal.metadata.update(metadata, order_id=str(order.id))
    return refusal
