"""Purchases as members and staff list them, and as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2
from scrip.points.v1 import admin_pb2, points_pb2, purchase_pb2

from services.common.caller import caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, refuse_nul
from services.common.list_pages import ListPage, read_page
from services.points.earning import RuleBook
from services.points.periods import Period, period_of
from services.points.purchases import encoding
from services.points.purchases.queries import PURCHASES, ListedPurchase, period_filters

_NEWEST = "recorded_at desc"
_COLUMNS = (
    "id",
    "receipt_number",
    "till_number",
    "client_id",
    "member_id",
    "sold_at",
    "recorded_at",
    "currency_code",
    "total_minor",
    "eligible_minor",
    "points",
    "bonus_points",
)


class PurchaseListHandlers:
    """Implements the lists of purchases: of PointsService, and of PointsAdminService."""

    def __init__(self, db: Database, rules: RuleBook) -> None:
        self._db = db
        self._rules = rules

    async def ListMyPurchases(
        self, request: points_pb2.ListMyPurchasesRequest, context: Context
    ) -> points_pb2.ListMyPurchasesResponse:
        """Returns a page of the caller's purchases."""
        page = await self._page(request, caller().id)
        return points_pb2.ListMyPurchasesResponse(
            purchases=await self._encoded(page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ListMemberPurchases(
        self, request: admin_pb2.ListMemberPurchasesRequest, context: Context
    ) -> admin_pb2.ListMemberPurchasesResponse:
        """Returns a page of a member's purchases."""
        page = await self._page(request, UUID(request.member_id))
        return admin_pb2.ListMemberPurchasesResponse(
            purchases=await self._encoded(page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ListPurchases(
        self, request: admin_pb2.ListPurchasesRequest, context: Context
    ) -> admin_pb2.ListPurchasesResponse:
        """Returns a page of the purchases of all."""
        order_by = request.order_by or _NEWEST
        page = await read_page(self._db, PURCHASES, request, order_by=order_by, **_filters(request, order_by))
        encoded = await self._encoded(page.rows)
        return admin_pb2.ListPurchasesResponse(
            purchases=map(_summary, page.rows, encoded),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportPurchases(
        self, request: admin_pb2.ExportPurchasesRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns the purchases of all as CSV, in pieces."""
        order_by = request.order_by or _NEWEST
        batches = PURCHASES.batches(self._db, order_by=order_by, **_filters(request, order_by))
        async for piece in csv_replies(context, "purchases", _COLUMNS, _as_cells(batches)):
            yield piece

    async def _page(
        self,
        request: points_pb2.ListMyPurchasesRequest | admin_pb2.ListMemberPurchasesRequest,
        member_id: UUID,
    ) -> ListPage[ListedPurchase]:
        periods = period_filters(request.order_by, sold=period_of(request, "sold"), recorded=Period())
        return await read_page(
            self._db, PURCHASES, request, order_by=request.order_by, member_id=member_id, **periods
        )

    async def _encoded(self, rows: Sequence[ListedPurchase]) -> list[purchase_pb2.Purchase]:
        return list(map(encoding.purchase, rows, await self._rules.applied(rows)))


def _filters(
    request: admin_pb2.ListPurchasesRequest | admin_pb2.ExportPurchasesRequest, order_by: str
) -> Mapping[str, Any]:
    refuse_nul(till_number=request.till_number)
    return {
        "client_id": UUID(request.client_id) if request.client_id else None,
        "till_number": request.till_number or None,
        "member_id": UUID(request.member_id) if request.member_id else None,
        "unclaimed": request.unclaimed or None,
        **period_filters(order_by, sold=period_of(request, "sold"), recorded=period_of(request, "recorded")),
    }


def _summary(row: ListedPurchase, encoded: purchase_pb2.Purchase) -> admin_pb2.PurchaseSummary:
    return admin_pb2.PurchaseSummary(
        purchase=encoded, member_id=str(row.member_id or ""), client_id=str(row.client_id)
    )


async def _as_cells(
    batches: AsyncIterator[Sequence[ListedPurchase]],
) -> AsyncIterator[Iterable[Sequence[object]]]:
    async for rows in batches:
        yield map(_cells, rows)


def _cells(row: ListedPurchase) -> Sequence[object]:
    return (
        row.id,
        row.receipt_number,
        row.till_number,
        row.client_id,
        row.member_id,
        _moment(row.sold_at),
        _moment(row.recorded_at),
        row.currency_code,
        row.total_minor,
        row.eligible_minor,
        row.points,
        row.bonus,
    )


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
