"""PointsService: what members see of their points."""

from __future__ import annotations

from scrip.points.v1 import points_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.points.balances.balances import Balances
from services.points.ledger.member_lists import page_of_entries, page_of_expiries


class PointsHandlers:
    """Implements PointsService."""

    def __init__(self, db: Database, balances: Balances) -> None:
        self._db = db
        self._balances = balances

    async def GetMyBalance(
        self, request: points_pb2.GetMyBalanceRequest, context: Context
    ) -> points_pb2.GetMyBalanceResponse:
        """The caller's balance."""
        balance, debt = await self._balances.get(caller().id)
        return points_pb2.GetMyBalanceResponse(balance=balance, debt=debt)

    async def ListMyExpiries(
        self, request: points_pb2.ListMyExpiriesRequest, context: Context
    ) -> points_pb2.ListMyExpiriesResponse:
        """A page of what the caller loses and when."""
        rows, next_token = await page_of_expiries(self._db, request, caller().id)
        return points_pb2.ListMyExpiriesResponse(expiries=rows, next_page_token=next_token)

    async def ListMyEntries(
        self, request: points_pb2.ListMyEntriesRequest, context: Context
    ) -> points_pb2.ListMyEntriesResponse:
        """A page of the caller's ledger."""
        rows, next_token = await page_of_entries(self._db, request, caller().id)
        return points_pb2.ListMyEntriesResponse(entries=rows, next_page_token=next_token)
