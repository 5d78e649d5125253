"""OrderService: getting vouchers for points."""

from __future__ import annotations

import asyncio
from uuid import UUID

from scrip.vouchers.v1 import order_pb2, order_pb2_grpc

from services.common.caller import caller
from services.common.encoding import Context, header
from services.common.errors import DomainError
from services.common.idempotency import parse_key
from services.common.legacy_db import Database
from services.common.paging import Page
from services.vouchers import queries
from services.vouchers.handlers import encoding
from services.vouchers.queries import OrderRow
from services.vouchers.saga import OrderSaga
from services.vouchers.stock import Stock


class OrderHandlers(order_pb2_grpc.OrderServiceServicer):
    """Implements OrderService."""

    def __init__(self, db: Database, stock: Stock, saga: OrderSaga, *, wait_seconds: float) -> None:
        self._db = db
        self._stock = stock
        self._saga = saga
        self._wait_seconds = wait_seconds

    async def PlaceOrder(
        self, request: order_pb2.PlaceOrderRequest, context: Context
    ) -> order_pb2.PlaceOrderResponse:
        """Places the order and waits for it, but not for ever."""
        key = parse_key(header(context, "idempotency-key"), required=True)
        assert key is not None
        order = await self._stock.place(member_id=caller().id, voucher_id=UUID(request.voucher_id), key=key)
        if order.open:
            await asyncio.wait([self._saga.start(order.id)], timeout=self._wait_seconds)
            order = await self._db.read(queries.get_order, order.id)
        if order.state == "FAILED":
            raise _refusal(order)
        return order_pb2.PlaceOrderResponse(order=encoding.order(order))

    async def GetMyOrder(
        self, request: order_pb2.GetMyOrderRequest, context: Context
    ) -> order_pb2.GetMyOrderResponse:
        """One of the caller's orders."""
        row = await self._db.read(queries.get_member_order, UUID(request.order_id), caller().id)
        return order_pb2.GetMyOrderResponse(order=encoding.order(row))

    async def ListMyOrders(
        self, request: order_pb2.ListMyOrdersRequest, context: Context
    ) -> order_pb2.ListMyOrdersResponse:
        """A page of the caller's orders."""
        page = Page(request.page_size, request.page_token, "orders")
        rows, next_token = await self._db.read(queries.list_orders, page, caller().id)
        return order_pb2.ListMyOrdersResponse(
            orders=[encoding.order(row) for row in rows], next_page_token=next_token
        )


def _refusal(order: OrderRow) -> DomainError:
    """Why the order failed, the same for every repetition of the call that placed it."""
    metadata = dict(order.failure_metadata or {})
    refusal = DomainError(order.failure_reason or "INTERNAL", metadata.pop("message", "the order failed"))
    refusal.metadata.update(metadata, order_id=str(order.id))
    return refusal
