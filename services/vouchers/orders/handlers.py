"""OrderService: ordering vouchers, and what members see of their orders."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, client_address, header
from services.common.errors import DomainError, is_away
from services.common.idempotency import parse_key
from services.common.paging import Page
from services.vouchers.gifts.encoding import read_recipient
from services.vouchers.orders import queries
from services.vouchers.orders.encoding import read_state, shown
from services.vouchers.orders.new_orders import NewOrder
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.requests import OrderRequests
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.orders.steps import Tender
from services.vouchers.payments.encoding import read_card


class OrderHandlers:
    """Implements what OrderService has for members."""

    def __init__(
        self, db: Database, requests: OrderRequests, placing: Placing, saga: OrderSaga, *, wait_seconds: float
    ) -> None:
        self._db = db
        self._requests = requests
        self._placing = placing
        self._saga = saga
        self._wait_seconds = wait_seconds

    async def PlaceOrder(
        self, request: order_pb2.PlaceOrderRequest, context: Context
    ) -> order_pb2.PlaceOrderResponse:
        """Places the order and waits for it, but not for ever."""
        key = parse_key(header(context, "idempotency-key"), required=True)
        assert key is not None
        card = read_card(request.card) if request.HasField("card") else None
        to = read_recipient(request.gift) if request.HasField("gift") else None
        new = await self._requests.read(
            request,
            caller().id,
            key,
            card=card,
            to=to,
            accept_language=header(context, "accept-language"),
            address=client_address(context),
        )
        order = await self._place(new) if isinstance(new, NewOrder) else new
        if order.open:
            tender = Tender(card, request.return_url)
            order = await self._saga.finish(order, tender, seconds=self._wait_seconds)
        if order.state in ("FAILED", "CANCELLED"):
            raise _refusal(order)
        [placed] = await shown(self._db, [order])
        return order_pb2.PlaceOrderResponse(order=placed)

    async def _place(self, new: NewOrder) -> OrderRow:
        """Returns the order, or the one that has its key."""
        try:
            order = await self._placing.place(new)
        except DomainError as error:
            if not is_away(error):  # else it may have been placed
                await self._requests.drop(new)
            raise
        if order.id != new.id:
            await self._requests.drop(new)
        return order

    async def GetMyOrder(
        self, request: order_pb2.GetMyOrderRequest, context: Context
    ) -> order_pb2.GetMyOrderResponse:
        """Returns one of the caller's orders."""
        row = await self._db.read(queries.get_member_order, UUID(request.order_id), caller().id)
        [order] = await shown(self._db, [row])
        return order_pb2.GetMyOrderResponse(order=order)

    async def ListMyOrders(
        self, request: order_pb2.ListMyOrdersRequest, context: Context
    ) -> order_pb2.ListMyOrdersResponse:
        """Returns a page of the caller's orders."""
        state = read_state(request.state)
        page = Page(request.page_size, request.page_token, "own orders", state)
        rows, next_token = await self._db.read(queries.list_member_orders, page, caller().id, state=state)
        orders = await shown(self._db, rows)
        return order_pb2.ListMyOrdersResponse(orders=orders, next_page_token=next_token)


def _refusal(order: OrderRow) -> DomainError:
    """Returns why the order failed, the same for every repetition of the call that placed it."""
    metadata = dict(order.failure_metadata or {})
    refusal = DomainError(order.failure_reason or "INTERNAL", metadata.pop("message", "the order failed"))
    refusal.metadata.update(metadata, order_id=str(order.id))
    return refusal
