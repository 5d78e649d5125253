"""PointsService: what members see of their points."""

from __future__ import annotations

from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.auth import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.paging import Page
from services.points import queries
from services.points.balances import Balances
from services.points.handlers import encoding


class PointsHandlers(points_pb2_grpc.PointsServiceServicer):
    """Implements PointsService."""

    def __init__(self, db: Database, balances: Balances) -> None:
        self._db = db
        self._balances = balances

    async def GetMyBalance(
        self, request: points_pb2.GetMyBalanceRequest, context: Context
    ) -> points_pb2.GetMyBalanceResponse:
        """The caller's balance."""
        return points_pb2.GetMyBalanceResponse(balance=await self._balances.get(caller().id))

    async def ListMyEntries(
        self, request: points_pb2.ListMyEntriesRequest, context: Context
    ) -> points_pb2.ListMyEntriesResponse:
        """A page of the caller's ledger."""
        member_id, kind = caller().id, encoding.kind_filter(request.kind)
        page = Page(request.page_size, request.page_token, "entries", member_id, kind)
        rows, next_token = await self._db.read(queries.list_entries, page, member_id=member_id, kind=kind)
        return points_pb2.ListMyEntriesResponse(
            entries=[encoding.entry(row) for row in rows], next_page_token=next_token
        )

    async def ListMyPurchases(
        self, request: points_pb2.ListMyPurchasesRequest, context: Context
    ) -> points_pb2.ListMyPurchasesResponse:
        """A page of the caller's purchases."""
        member_id = caller().id
        page = Page(request.page_size, request.page_token, "purchases", member_id)
        rows, next_token = await self._db.read(queries.list_purchases, page, member_id=member_id)
        return points_pb2.ListMyPurchasesResponse(
            purchases=[encoding.purchase(row.purchase) for row in rows], next_page_token=next_token
        )
