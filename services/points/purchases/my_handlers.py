"""PointsService: a member's own purchases, one by one."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.points import encoding
from services.points.claims.claims import PurchaseClaims
from services.points.earning.rule_book import RuleBook
from services.points.purchases import queries as purchases
from services.points.purchases.read_handlers import purchase_details


class MyPurchaseHandlers(points_pb2_grpc.PointsServiceServicer):
    """Implements what PointsService says of one purchase."""

    _db: Database
    _rules: RuleBook
    _claims: PurchaseClaims

    async def GetMyPurchase(
        self, request: points_pb2.GetMyPurchaseRequest, context: Context
    ) -> points_pb2.GetMyPurchaseResponse:
        """One of the caller's purchases."""
        found = await self._db.read(purchases.get_purchase_of, caller().id, UUID(request.purchase_id))
        return points_pb2.GetMyPurchaseResponse(details=await purchase_details(self._rules, found))

    async def ClaimMyPurchase(
        self, request: points_pb2.ClaimMyPurchaseRequest, context: Context
    ) -> points_pb2.ClaimMyPurchaseResponse:
        """Makes a receipt the caller's."""
        claimed = await self._claims.by_claim_code(caller().id, request.claim_code)
        return points_pb2.ClaimMyPurchaseResponse(
            purchase=encoding.purchase(claimed), balance_after=claimed.balance_after
        )
