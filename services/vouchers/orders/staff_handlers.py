"""OrderService: what staff see of all members' orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.vouchers.v1 import order_pb2

from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.list_pages import read_page
from services.vouchers.orders.encoding import encode_order, read_state, shown
from services.vouchers.orders.queries import ORDER_LIST, OrderRow, get_order

_CSV = (
    "id",
    "member_id",
    "voucher_id",
    "state",
    "price_points",
    "wallet_voucher_id",
    "failure_reason",
    "placed_at",
    "quantity",
    "currency_code",
    "amount_minor",
    "method_discount_minor",
    "promo_discount_minor",
    "payment_method_id",
    "ended_by",
)


class StaffOrderHandlers:
    """Implements what OrderService has for staff."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetOrder(
        self, request: order_pb2.GetOrderRequest, context: Context
    ) -> order_pb2.GetOrderResponse:
        """Returns any member's order."""
        row = await self._db.read(get_order, UUID(request.order_id))
        [order] = await shown(self._db, [row], to_staff=True)
        return order_pb2.GetOrderResponse(order=order)

    async def ListOrders(
        self, request: order_pb2.ListOrdersRequest, context: Context
    ) -> order_pb2.ListOrdersResponse:
        """Returns a page of all members' orders."""
        order_by, wanted = request.order_by, _wanted(request)
        page = await read_page(self._db, ORDER_LIST, request, order_by=order_by, **wanted)
        return order_pb2.ListOrdersResponse(
            orders=await shown(self._db, page.rows, to_staff=True),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportOrders(
        self, request: order_pb2.ExportOrdersRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns all members' orders as CSV, in pieces."""
        batches = ORDER_LIST.batches(self._db, order_by="", **_wanted(request))
        lines = (map(_cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "orders", _CSV, lines):
            yield reply


def _wanted(request: order_pb2.ListOrdersRequest | order_pb2.ExportOrdersRequest) -> dict[str, object]:
    return {
        "member_id": UUID(request.member_id) if request.member_id else None,
        "voucher_id": UUID(request.voucher_id) if request.voucher_id else None,
        "state": read_state(request.state),
        "placed_from": moment(request, "placed_from"),
        "placed_until": moment(request, "placed_until"),
    }


def _cells(row: OrderRow) -> list[object]:
    order = encode_order(row)
    return [
        order.id,
        order.member_id,
        order.voucher_id,
        row.state,
        order.price_points,
        order.wallet_voucher_id,
        order.failure_reason,
        order.placed_at.ToJsonString(),
        row.quantity,
        row.currency_code or "",
        row.amount_minor,
        row.method_discount_minor,
        row.promo_discount_minor,
        order.payment_method_id,
        row.ended_by or "",
    ]
