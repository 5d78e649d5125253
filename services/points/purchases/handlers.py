"""PurchaseService: one receipt; and a member's purchases, as the member and staff list them."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import admin_pb2, points_pb2, purchase_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.paging import Page
from services.points.earning import RuleBook
from services.points.periods import period_of
from services.points.purchases import encoding
from services.points.purchases.queries import list_purchases
from services.points.purchases.receipts import ReceiptDecoder
from services.points.purchases.recorder import PurchaseRecorder


class RecordHandlers:
    """Implements RecordPurchase of PurchaseService."""

    def __init__(self, receipts: ReceiptDecoder, recorder: PurchaseRecorder, rules: RuleBook) -> None:
        self._receipts = receipts
        self._recorder = recorder
        self._rules = rules

    async def RecordPurchase(
        self, request: purchase_pb2.RecordPurchaseRequest, context: Context
    ) -> purchase_pb2.RecordPurchaseResponse:
        """Records a receipt together with those that come at the same time."""
        new = self._receipts.decode(request, caller().id)
        purchase = await self._recorder.record(new)
        (rules,) = await self._rules.applied([purchase])
        return encoding.recorded(purchase, rules)


class PurchaseListHandlers:
    """Implements the lists of a member's purchases: of PointsService, and of PointsAdminService."""

    def __init__(self, db: Database, rules: RuleBook) -> None:
        self._db = db
        self._rules = rules

    async def ListMyPurchases(
        self, request: points_pb2.ListMyPurchasesRequest, context: Context
    ) -> points_pb2.ListMyPurchasesResponse:
        """Returns a page of the caller's purchases."""
        purchases, next_token = await self._page(request, caller().id)
        return points_pb2.ListMyPurchasesResponse(purchases=purchases, next_page_token=next_token)

    async def ListMemberPurchases(
        self, request: admin_pb2.ListMemberPurchasesRequest, context: Context
    ) -> admin_pb2.ListMemberPurchasesResponse:
        """Returns a page of a member's purchases."""
        purchases, next_token = await self._page(request, UUID(request.member_id))
        return admin_pb2.ListMemberPurchasesResponse(purchases=purchases, next_page_token=next_token)

    async def _page(
        self,
        request: points_pb2.ListMyPurchasesRequest | admin_pb2.ListMemberPurchasesRequest,
        member_id: UUID,
    ) -> tuple[list[purchase_pb2.Purchase], str]:
        wanted = period_of(request)
        page = Page(request.page_size, request.page_token, request.DESCRIPTOR.name, member_id, wanted)
        rows, next_token = await self._db.read(list_purchases, page, member_id=member_id, period=wanted)
        rules = await self._rules.applied(rows)
        return list(map(encoding.purchase, rows, rules)), next_token
