"""What the tests of points share."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf import timestamp_pb2
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.points.internal.v1 import points_pb2 as internal_pb2
from scrip.points.internal.v1 import points_pb2_grpc as internal_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc, purchase_pb2, purchase_pb2_grpc

from services.common import members, status
from services.common.db import Connection, Database
from services.common.ids import new_id, utc_now
from services.common.member_events import apply_member_event
from services.points import ledger
from services.points import members as codes
from services.points.books import unbalanced_members
from tests.inprocess import Member, Platform, bearer

_receipts = itertools.count(1)


def item(price_minor: int = 1_000, quantity: int = 1, *, alcohol: bool = False) -> purchase_pb2.PurchaseItem:
    """Returns a line of a receipt."""
    return purchase_pb2.PurchaseItem(
        sku="4711",
        name="Bread",
        category="bakery",
        unit_price_minor=price_minor,
        quantity=quantity,
        alcohol=alcohol,
    )


def sold(moment: datetime | None = None) -> timestamp_pb2.Timestamp:
    """Returns a time of sale: a minute ago, when none is given."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment or datetime.now(UTC) - timedelta(minutes=1))
    return stamp


def receipt(
    member_code: str, *items: purchase_pb2.PurchaseItem, **fields: Any
) -> purchase_pb2.RecordPurchaseRequest:
    """Returns a receipt with a number of its own; one line of 10.00 when none is given."""
    wanted: dict[str, Any] = {
        "receipt_number": f"R-{next(_receipts)}",
        "sold_at": sold(),
        "currency_code": "USD",
        "items": items or [item()],
    }
    return purchase_pb2.RecordPurchaseRequest(member_code=member_code, **(wanted | fields))


@dataclass
class Points:
    """Points as its callers see it: one till, any member, the service vouchers."""

    platform: Platform
    till: str
    vouchers: str

    @property
    def channel(self) -> Any:
        """The channel to points."""
        return self.platform.channels["points"]

    @property
    def database(self) -> Database:
        """The database of points."""
        return self.platform.databases["points"]

    async def record(
        self, request: purchase_pb2.RecordPurchaseRequest, *, token: str | None = None
    ) -> purchase_pb2.RecordPurchaseResponse:
        """Records a receipt, as the till."""
        stub = purchase_pb2_grpc.PurchaseServiceStub(self.channel)
        return await stub.RecordPurchase(request, metadata=bearer(token or self.till))

    async def earn(self, member: Member, points: int) -> purchase_pb2.RecordPurchaseResponse:
        """Records a receipt that earns so many points."""
        return await self.record(receipt(member.code, item(1_000 * points)))

    async def balance(self, member: Member) -> int:
        """Returns what the member sees as balance."""
        stub = points_pb2_grpc.PointsServiceStub(self.channel)
        reply = await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(member.token))
        return reply.balance

    async def entries(self, member: Member, **fields: Any) -> points_pb2.ListMyEntriesResponse:
        """Returns a page of what the member sees as movements."""
        stub = points_pb2_grpc.PointsServiceStub(self.channel)
        request = points_pb2.ListMyEntriesRequest(**fields)
        return await stub.ListMyEntries(request, metadata=bearer(member.token))

    async def purchases(self, member: Member, **fields: Any) -> points_pb2.ListMyPurchasesResponse:
        """Returns a page of what the member sees as purchases."""
        stub = points_pb2_grpc.PointsServiceStub(self.channel)
        request = points_pb2.ListMyPurchasesRequest(**fields)
        return await stub.ListMyPurchases(request, metadata=bearer(member.token))

    async def debit(self, order: UUID, member: Member, points: int) -> int:
        """Debits an order, as vouchers; returns the balance after."""
        stub = internal_pb2_grpc.PointsInternalServiceStub(self.channel)
        request = internal_pb2.DebitRequest(order_id=str(order), member_id=str(member.id), points=points)
        return (await stub.Debit(request, metadata=bearer(self.vouchers))).balance_after

    async def debit_all(self, *orders: tuple[UUID, Member, int]) -> list[int | str]:
        """Debits orders together, as vouchers; returns for each the balance after, or why it is refused."""
        stub = internal_pb2_grpc.PointsInternalServiceStub(self.channel)
        request = internal_pb2.BatchDebitRequest(
            orders=[
                internal_pb2.DebitRequest(order_id=str(order), member_id=str(member.id), points=points)
                for order, member, points in orders
            ]
        )
        reply = await stub.BatchDebit(request, metadata=bearer(self.vouchers))
        assert [outcome.order_id for outcome in reply.outcomes] == [str(order) for order, _, _ in orders]
        return [
            outcome.debited.balance_after
            if outcome.WhichOneof("outcome") == "debited"
            else status.from_status(outcome.refused, "points").reason
            for outcome in reply.outcomes
        ]

    async def undo(self, order: UUID, member: Member) -> None:
        """Undoes an order's debit, as vouchers."""
        stub = internal_pb2_grpc.PointsInternalServiceStub(self.channel)
        request = internal_pb2.UndoDebitRequest(order_id=str(order), member_id=str(member.id))
        await stub.UndoDebit(request, metadata=bearer(self.vouchers))

    async def send_event(
        self, member_id: UUID, version: int, event: str, *, event_id: UUID | None = None
    ) -> None:
        """Sends an event, as identity; `event` is a name of MemberEventType without its prefix."""
        stub = member_events_pb2_grpc.MemberEventsServiceStub(self.channel)
        request = member_events_pb2.ApplyRequest(
            event_id=str(event_id or new_id()),
            member_id=str(member_id),
            version=version,
            type=member_events_pb2.MemberEventType.Value(f"MEMBER_EVENT_TYPE_{event}"),
            occurred_at=sold(),
        )
        await stub.Apply(request, metadata=bearer(await self.platform.service_token("identity")))

    async def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Returns rows straight from the database of points."""

        async def fetch(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values or None)).fetchall()

        return await self.database.read(fetch)

    async def lines(self, purchase_id: str) -> list[tuple[Any, ...]]:
        """Returns the lines that were kept of a purchase."""
        return await self.rows(
            "SELECT line, sku, name, category, unit_price_minor, quantity, alcohol FROM purchase_items"
            " WHERE purchase_id = %(id)s::uuid ORDER BY line",
            id=purchase_id,
        )

    async def lots(self, member: Member) -> list[tuple[int, int]]:
        """Returns what each of the member's lots earned and has left, oldest first."""
        rows = await self.rows(
            "SELECT earned, remaining FROM lots WHERE member_id = %(id)s ORDER BY id", id=member.id
        )
        return [(earned, remaining) for earned, remaining in rows]

    async def assert_balanced(self) -> None:
        """INV1 for every member."""
        assert list(await self.database.read(unbalanced_members)) == []


async def apply_event(
    connection: Connection, kind: type[members.MemberEvent], member_id: UUID, version: int
) -> None:
    """Applies a member event, as the service does when identity sends one."""
    event = kind(new_id(), member_id, version, utc_now(), None, shares_contact=False)
    await apply_member_event(connection, event, [codes.on_member_event, ledger.on_member_event])
