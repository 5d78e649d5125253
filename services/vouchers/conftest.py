"""The fixtures of pytest-grpc with a real asyncio server behind them, and what orders need."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, order_pb2, order_pb2_grpc

from services.common.ids import new_id
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import Member, Platform, as_client, bearer


@pytest.fixture(scope="session")
def grpc_addr(platform: Platform) -> str:
    """Where vouchers listens."""
    return platform.targets["vouchers"]


@pytest.fixture(scope="session")
def grpc_channel(platform: Platform) -> grpc.aio.Channel:
    """A channel to vouchers."""
    return platform.channels["vouchers"]


@pytest.fixture(scope="session")
def create(platform: Platform) -> Create:
    """Creates a voucher as staff do."""
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])

    async def make(*, quantity: int = 10, price_points: int = 500, **fields: object) -> catalogue_pb2.Voucher:
        request = catalogue_pb2.CreateVoucherRequest(
            title="$5 off",
            face_value=money_pb2.Money(currency_code="USD", amount_minor=500),
            price_points=price_points,
            quantity=quantity,
            **fields,  # type: ignore[arg-type]  # whatever a test wants to differ
        )
        reply = await stub.CreateVoucher(request, metadata=bearer(await platform.admin()))
        return reply.voucher

    return make


@pytest.fixture(scope="session")
def earn(platform: Platform) -> Earn:
    """Has a member earn points at a till."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])

    async def buy(member: Member, points: int) -> None:
        sold_at = Timestamp()
        sold_at.FromDatetime(datetime.now(UTC))
        item = purchase_pb2.PurchaseItem(sku="1", name="Thing", unit_price_minor=1_000 * points, quantity=1)
        request = purchase_pb2.RecordPurchaseRequest(
            member_code=member.code,
            receipt_number=str(new_id()),
            sold_at=sold_at,
            currency_code="USD",
            items=[item],
        )
        await as_client(stub.RecordPurchase, request, metadata=bearer(await platform.till()))

    return buy


@pytest.fixture(scope="session")
def order(platform: Platform) -> Order:
    """Places an order as a member does."""
    stub = order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"])

    async def place(member: Member, voucher_id: str, key: str | None = None) -> order_pb2.PlaceOrderResponse:
        metadata = bearer(member.token, idempotency_key=key or str(new_id()))
        request = order_pb2.PlaceOrderRequest(voucher_id=voucher_id)
        return await as_client(stub.PlaceOrder, request, metadata=metadata)

    return place
