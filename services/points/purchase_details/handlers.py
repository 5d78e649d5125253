"""Reading what was recorded: of PurchaseService for tills and staff, of PointsService for the member."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import points_pb2, purchase_pb2

from services.common.caller import Caller, caller
from services.common.db import Database
from services.common.encoding import Context, refuse_nul, timestamp
from services.common.errors import invalid_field
from services.points.earning import AppliedRules, RuleBook, Terms
from services.points.purchase_details.queries import (
    PurchaseDetails,
    find_purchase,
    get_purchase,
    get_purchase_of,
)
from services.points.purchases import ReceiptKey, SoldLine, own_client, purchase_not_found
from services.points.purchases import encoding as purchases
from services.points.refunds import encoding as refunds


class PurchaseDetailsHandlers:
    """Implements FindPurchase, GetPurchase and GetMyPurchase."""

    def __init__(self, db: Database, rules: RuleBook) -> None:
        self._db = db
        self._rules = rules

    async def FindPurchase(
        self, request: purchase_pb2.FindPurchaseRequest, context: Context
    ) -> purchase_pb2.FindPurchaseResponse:
        """Returns the purchase that a receipt became."""
        refuse_nul(receipt_number=request.receipt_number, till_number=request.till_number)
        key = ReceiptKey(_client(request, caller()), request.till_number, request.receipt_number)
        found = await self._db.read(find_purchase, key)
        return purchase_pb2.FindPurchaseResponse(details=await self._encoded(found))

    async def GetPurchase(
        self, request: purchase_pb2.GetPurchaseRequest, context: Context
    ) -> purchase_pb2.GetPurchaseResponse:
        """Returns a purchase by its id."""
        client_id = own_client(caller())
        found = await self._db.read(get_purchase, UUID(request.purchase_id), client_id=client_id)
        return purchase_pb2.GetPurchaseResponse(details=await self._encoded(found))

    async def GetMyPurchase(
        self, request: points_pb2.GetMyPurchaseRequest, context: Context
    ) -> points_pb2.GetMyPurchaseResponse:
        """Returns one of the caller's purchases."""
        found = await self._db.read(get_purchase_of, caller().id, UUID(request.purchase_id))
        return points_pb2.GetMyPurchaseResponse(details=await self._encoded(found))

    async def _encoded(self, found: PurchaseDetails) -> purchase_pb2.PurchaseDetails:
        rules = await self._rules.get(found.purchase.rule_set_id)
        return _details(found, rules.at(found.purchase.sold_at), rules.applied(found.purchase))


def _client(request: purchase_pb2.FindPurchaseRequest, who: Caller) -> UUID:
    """Returns whose receipt is looked for.

    Raises PURCHASE_NOT_FOUND, and VALIDATION_FAILED when staff name no client.
    """
    own = own_client(who)
    if not request.client_id:
        if own is None:
            raise invalid_field("client_id", "staff must say whose receipt it is")
        return own
    wanted = UUID(request.client_id)
    if own not in {None, wanted}:
        raise purchase_not_found()
    return wanted


def _details(row: PurchaseDetails, terms: Terms, applied: AppliedRules) -> purchase_pb2.PurchaseDetails:
    """Returns a purchase with its lines and refunds; `terms` judged it, and of them `applied` held."""
    return purchase_pb2.PurchaseDetails(
        purchase=purchases.purchase(row.purchase, applied),
        member_id=str(row.member_id or ""),
        client_id=str(row.client_id),
        lines=[_line(line, terms) for line in row.lines],
        refunds=[refunds.refund(one, row.purchase.currency_code) for one in row.refunds],
        claim_until=timestamp(row.claim_until),
    )


def _line(row: SoldLine, terms: Terms) -> purchase_pb2.PurchaseLine:
    line = purchase_pb2.PurchaseLine(
        line=row.number, item=purchases.item(row.item), earn_percent=terms.counted(row.item).percent
    )
    if row.in_pieces:
        line.quantity_left = row.left // 1_000
    else:
        line.quantity_left_milli = row.left
    return line
