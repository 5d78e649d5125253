"""Orders of all members, for staff: filters, order, totals, a file, and what a page reads."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.vouchers.v1 import order_pb2, order_pb2_grpc

from services.common.db import Connection, Database, execute
from services.common.ids import new_id
from services.common.paging import Page
from services.vouchers.orders.queries import ORDER_LIST
from services.vouchers.tests.support import Create, Earn, Order
from tests.databases import new_database
from tests.inprocess import Member, Platform, bearer, reason
from tests.plans import indexes_used, rows_read

COMPLETED, FAILED = order_pb2.ORDER_STATE_COMPLETED, order_pb2.ORDER_STATE_FAILED


@dataclass
class Orders:
    """OrderService as an admin calls it, and the orders of one member, in the order of placing."""

    stub: order_pb2_grpc.OrderServiceStub
    admin: str
    member: Member
    made: list[order_pb2.Order] = field(default_factory=list)

    async def page(self, **fields: Any) -> order_pb2.ListOrdersResponse:
        """Returns a page of orders."""
        return await self.stub.ListOrders(order_pb2.ListOrdersRequest(**fields), metadata=bearer(self.admin))

    async def read(self, order_id: str) -> order_pb2.Order:
        """Returns an order as staff read it."""
        request = order_pb2.GetOrderRequest(order_id=order_id)
        return (await self.stub.GetOrder(request, metadata=bearer(self.admin))).order

    async def export(self, token: str, **fields: Any) -> bytes:
        """Returns a file of orders."""
        request = order_pb2.ExportOrdersRequest(**fields)
        pieces = [piece async for piece in self.stub.ExportOrders(request, metadata=bearer(token))]
        assert pieces[0].content_type == "text/csv; charset=utf-8"
        return b"".join(piece.data for piece in pieces)


@pytest.fixture
async def orders(platform: Platform, create: Create, earn: Earn, order: Order) -> Orders:
    """Two orders that completed, of two vouchers, and one that failed for lack of points."""
    member = await platform.member()
    found = Orders(
        order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"]), await platform.admin(), member
    )
    await earn(member, 1_000)
    vouchers = [await create(), await create()]
    for voucher in vouchers:
        found.made.append((await order(member, voucher.id)).order)
    refused = order(member, vouchers[0].id)
    assert await reason(refused) == "INSUFFICIENT_POINTS"
    [failed] = (await found.page(member_id=str(member.id), state=FAILED)).orders
    found.made.append(failed)
    return found


@pytest.mark.covers("V3 OrderService.ListOrders", "V3 OrderService.GetOrder")
async def test_orders_of_all_members_are_found_by_each_filter_and_read(orders: Orders) -> None:
    first, second, failed = orders.made

    async def found(**fields: Any) -> list[order_pb2.Order]:
        return list((await orders.page(**fields)).orders)

    mine = {"member_id": str(orders.member.id)}
    assert await found(**mine) == [failed, second, first]
    assert await found(voucher_id=first.voucher_id) == [failed, first]
    assert await found(state=COMPLETED, **mine) == [second, first]
    assert await found(state=FAILED, voucher_id=first.voucher_id) == [failed]
    assert await found(placed_from=second.placed_at, **mine) == [failed, second]
    assert await found(placed_until=second.placed_at, **mine) == [first]
    assert await found(member_id=str(new_id())) == []
    assert (failed.state, failed.failure_reason) == (FAILED, "INSUFFICIENT_POINTS")
    for order in orders.made:
        assert order.member_id == str(orders.member.id)
        assert await orders.read(order.id) == order
    assert await reason(orders.read(str(new_id()))) == "ORDER_NOT_FOUND"


@pytest.mark.covers("V3 OrderService.ListOrders")
async def test_orders_come_in_either_order_page_by_page_with_a_total(orders: Orders) -> None:
    for order_by, expected in (("placed_at", orders.made), ("placed_at desc", orders.made[::-1])):
        fields = {"member_id": str(orders.member.id), "order_by": order_by, "page_size": 2}
        first = await orders.page(with_total=True, **fields)
        assert (first.total.count, first.total.more) == (3, False)
        rest = await orders.page(page_token=first.next_page_token, **fields)
        assert [*first.orders, *rest.orders] == expected
        assert (rest.next_page_token, rest.HasField("total")) == ("", False)
        other = orders.page(page_token=first.next_page_token, order_by=order_by)
        assert await reason(other) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize(
    "fields",
    [
        {"member_id": "somebody"},
        {"order_by": "price_points"},
        {"state": 99},
        {"placed_from": Timestamp(seconds=10), "placed_until": Timestamp(seconds=10)},
        {"placed_from": Timestamp(seconds=10**12)},
        {"placed_from": Timestamp(seconds=1), "placed_until": Timestamp(seconds=10**12)},
    ],
    ids=str,
)
async def test_what_can_not_be_asked_for_is_refused(orders: Orders, fields: dict[str, Any]) -> None:
    assert await reason(orders.page(**fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("V3 OrderService.ExportOrders")
async def test_orders_are_exported_as_csv_with_an_end(orders: Orders) -> None:
    content = await orders.export(orders.admin, member_id=str(orders.member.id))
    header, *lines, end = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert end == ["#end", "3"]
    first, _, failed = orders.made
    assert dict(zip(header, lines[2], strict=True)) == {
        "id": first.id,
        "member_id": str(orders.member.id),
        "voucher_id": first.voucher_id,
        "state": "COMPLETED",
        "price_points": "500",
        "wallet_voucher_id": first.wallet_voucher_id,
        "failure_reason": "",
        "placed_at": first.placed_at.ToJsonString(),
        "quantity": "1",
        "currency_code": "",
        "amount_minor": "0",
        "method_discount_minor": "0",
        "promo_discount_minor": "0",
        "payment_method_id": "",
        "ended_by": "",
    }
    assert lines[0][:1] + lines[0][5:7] == [failed.id, "", "INSUFFICIENT_POINTS"]


@pytest.mark.parametrize("role", ["member", "till"])
async def test_orders_of_all_are_for_staff(platform: Platform, orders: Orders, role: str) -> None:
    token = bearer(await platform.token(role))
    for call in (
        orders.stub.ListOrders(order_pb2.ListOrdersRequest(), metadata=token),
        orders.stub.GetOrder(order_pb2.GetOrderRequest(order_id=orders.made[0].id), metadata=token),
    ):
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers("V3 OrderService.ExportOrders")
async def test_a_file_of_orders_is_not_for_cashiers(platform: Platform, orders: Orders) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await orders.export(await platform.token("cashier"))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# What a page reads where there are many.

MANY = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
BUSY, RARE, NOBODY = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """20,000 orders of 2,000 members, nearly all completed; the oldest are of a voucher that has few."""
    url = await new_database(platform.postgres, "vouchers")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    await execute(
        connection,
        """
        INSERT INTO vouchers (
          id, title, description, face_value_minor, currency_code, price_points, quantity, sale_starts_at
        )
        SELECT id, 'x', '', 1, 'USD', 1, 1, now() FROM unnest(%(ids)s::uuid[]) AS id
        """,
        ids=[BUSY, RARE],
    )
    await execute(
        connection,
        """
        INSERT INTO orders (
          id, member_id, idempotency_key, voucher_id, price_points, state, placed_at, deadline_at
        )
        SELECT
          uuidv7(), lpad(to_hex(i %% 2000), 32, '0')::uuid, i,
          CASE WHEN i <= 5 THEN %(rare)s::uuid ELSE %(busy)s END, 1,
          CASE WHEN i <= 5 THEN 'FAILED' WHEN i <= 8 THEN 'PENDING' ELSE 'COMPLETED' END,
          %(start)s + i * interval '1 minute', now()
        FROM generate_series(1, %(many)s) AS i
        """,
        busy=BUSY,
        rare=RARE,
        start=START,
        many=MANY,
    )
    await execute(
        connection,
        """
        INSERT INTO wallet_vouchers (id, order_id, voucher_id, member_id, code_id)
        SELECT uuidv7(), id, voucher_id, member_id, uuidv7() FROM orders WHERE state = 'COMPLETED'
        """,
    )


@pytest.mark.parametrize("order_by", ["placed_at", "placed_at desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"member_id": UUID(int=7)},
        {"member_id": UUID(int=10**9)},
        {"voucher_id": BUSY},
        {"voucher_id": RARE},
        {"voucher_id": NOBODY},
        {"state": "COMPLETED"},
        {"state": "FAILED"},
        {"state": "PENDING"},
        {"state": "UNDOING"},
        {"placed_from": START + timedelta(minutes=MANY)},
        {"placed_until": START},
        {"placed_from": START + timedelta(days=7), "placed_until": START + timedelta(days=7, minutes=9)},
    ],
    ids=str,
)
async def test_a_page_of_many_orders_reads_little(
    many: Database, order_by: str, wanted: dict[str, object]
) -> None:
    read = await rows_read(many, ORDER_LIST.page, page=Page(50, "", "x"), order_by=order_by, **wanted)
    assert read < 300


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"voucher_id": RARE}, "ix_orders_voucher_id"),
        ({"voucher_id": NOBODY}, "ix_orders_voucher_id"),
        ({"state": "FAILED"}, "ix_orders_state"),
        ({"placed_until": START}, "ix_orders_placed_at"),
    ],
    ids=str,
)
async def test_few_orders_among_many_are_found_by_their_own_index(
    many: Database, wanted: dict[str, object], index: str
) -> None:
    assert index in await indexes_used(many, ORDER_LIST.page, page=Page(50, "", "x"), **wanted)
