"""What other services ask of purchases: a part of PointsInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.points.internal.v1 import points_pb2

from services.common.db import Database
from services.common.encoding import Context, refuse_nul
from services.points.purchase_details.queries import has_purchases
from services.points.purchases import ReceiptKey


class AskedPurchasesHandlers:
    """Implements HasPurchases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def HasPurchases(
        self, request: points_pb2.HasPurchasesRequest, context: Context
    ) -> points_pb2.HasPurchasesResponse:
        """Returns whether a member has bought anything."""
        refuse_nul(receipt_number=request.receipt_number, till_number=request.till_number)
        besides = None
        if request.client_id:
            besides = ReceiptKey(UUID(request.client_id), request.till_number, request.receipt_number)
        found = await self._db.read(has_purchases, UUID(request.member_id), besides=besides)
        return points_pb2.HasPurchasesResponse(has_purchases=found)
