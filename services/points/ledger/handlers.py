"""What the member and staff read of the ledger, and what orders do to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from scrip.points.internal.v1 import points_pb2 as internal_pb2
from scrip.points.v1 import admin_pb2, points_pb2

from services.common import status
from services.common.batching import Batcher
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.list_pages import ListPage, read_page
from services.common.paging import Page
from services.points.ledger import encoding
from services.points.ledger.account import OnMoved
from services.points.ledger.commands.debit import Debited, NewDebit, debit_orders
from services.points.ledger.commands.undo_debit import undo_debit
from services.points.ledger.queries import ENTRIES, EntryRow, entry_filters, list_expiries
from services.points.periods import period_of


class LedgerHandlers:
    """Implements the lists of entries and expiries: of PointsService, and of PointsAdminService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListMyEntries(
        self, request: points_pb2.ListMyEntriesRequest, context: Context
    ) -> points_pb2.ListMyEntriesResponse:
        """Returns a page of the caller's ledger."""
        page = await self._entries(request, caller().id)
        return points_pb2.ListMyEntriesResponse(
            entries=_encoded(page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ListMemberEntries(
        self, request: admin_pb2.ListMemberEntriesRequest, context: Context
    ) -> admin_pb2.ListMemberEntriesResponse:
        """Returns a page of a member's ledger."""
        page = await self._entries(request, UUID(request.member_id))
        return admin_pb2.ListMemberEntriesResponse(
            entries=_encoded(page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ListMyExpiries(
        self, request: points_pb2.ListMyExpiriesRequest, context: Context
    ) -> points_pb2.ListMyExpiriesResponse:
        """Returns a page of what the caller loses and when."""
        expiries, next_token = await self._expiries(request, caller().id)
        return points_pb2.ListMyExpiriesResponse(expiries=expiries, next_page_token=next_token)

    async def ListMemberExpiries(
        self, request: admin_pb2.ListMemberExpiriesRequest, context: Context
    ) -> admin_pb2.ListMemberExpiriesResponse:
        """Returns a page of what a member loses and when."""
        expiries, next_token = await self._expiries(request, UUID(request.member_id))
        return admin_pb2.ListMemberExpiriesResponse(expiries=expiries, next_page_token=next_token)

    async def _entries(
        self,
        request: points_pb2.ListMyEntriesRequest | admin_pb2.ListMemberEntriesRequest,
        member_id: UUID,
    ) -> ListPage[EntryRow]:
        kind, period = encoding.kind_filter(request.kind), period_of(request, "occurred")
        return await read_page(self._db, ENTRIES, request, **entry_filters(member_id, kind, period))

    async def _expiries(
        self,
        request: points_pb2.ListMyExpiriesRequest | admin_pb2.ListMemberExpiriesRequest,
        member_id: UUID,
    ) -> tuple[list[points_pb2.Expiry], str]:
        page = Page(request.page_size, request.page_token, request.DESCRIPTOR.name, member_id)
        rows, next_token = await self._db.read(list_expiries, page, member_id=member_id)
        return [encoding.expiry(row) for row in rows], next_token


def _encoded(rows: Iterable[EntryRow]) -> Iterator[points_pb2.Entry]:
    return (encoding.entry(row.entry) for row in rows)


class SpendingHandlers:
    """Implements the part of PointsInternalService that moves points."""

    def __init__(self, db: Database, on_moved: OnMoved) -> None:
        self._db = db
        self._on_moved = on_moved
        self._debits = Batcher("debits", self._debit)

    async def Debit(self, request: internal_pb2.DebitRequest, context: Context) -> internal_pb2.DebitResponse:
        """Takes an order's points, once, together with those that come at the same time."""
        return internal_pb2.DebitResponse(balance_after=await self._debits.submit(_decode(request)))

    async def BatchDebit(
        self, request: internal_pb2.BatchDebitRequest, context: Context
    ) -> internal_pb2.BatchDebitResponse:
        """Takes the points of orders; each has its own outcome."""
        response = internal_pb2.BatchDebitResponse()
        outcomes = await self._debits.submit_all([_decode(order) for order in request.orders])
        for order, debited in zip(request.orders, outcomes, strict=True):
            outcome = response.outcomes.add(order_id=order.order_id)
            if isinstance(debited, Exception):
                outcome.refused.CopyFrom(status.of_any(debited, "BatchDebit"))
            else:
                outcome.debited.balance_after = debited
        return response

    async def UndoDebit(
        self, request: internal_pb2.UndoDebitRequest, context: Context
    ) -> internal_pb2.UndoDebitResponse:
        """Gives an order's points back, once."""
        member_id = UUID(request.member_id)
        await self._db.run(undo_debit, order_id=UUID(request.order_id), member_id=member_id)
        await self._on_moved([member_id])
        return internal_pb2.UndoDebitResponse()

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._debits.close()

    async def _debit(self, orders: list[NewDebit]) -> list[Debited]:
        outcomes = await self._db.run(debit_orders, orders)
        await self._on_moved({order.member_id for order in orders})
        return outcomes


def _decode(request: internal_pb2.DebitRequest) -> NewDebit:
    return NewDebit(UUID(request.order_id), UUID(request.member_id), request.points)
