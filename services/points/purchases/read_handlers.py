"""PurchaseService: reading what was recorded, for tills and staff."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.caller import TILL, Caller, caller
from services.common.encoding import Context
from services.common.errors import invalid_field
from services.common.legacy_db import Database
from services.points import encoding
from services.points.earning.rule_book import RuleBook
from services.points.purchases import queries as purchases
from services.points.purchases.purchase import ReceiptKey, purchase_not_found
from services.points.purchases.queries import PurchaseDetails


class PurchaseReadHandlers(purchase_pb2_grpc.PurchaseServiceServicer):
    """Implements the reads of PurchaseService."""

    _db: Database
    _rules: RuleBook

    async def FindPurchase(
        self, request: purchase_pb2.FindPurchaseRequest, context: Context
    ) -> purchase_pb2.FindPurchaseResponse:
        """The purchase that a receipt became."""
        encoding.refuse_nul(receipt_number=request.receipt_number, till_number=request.till_number)
        key = ReceiptKey(_client(request, caller()), request.till_number, request.receipt_number)
        found = await self._db.read(purchases.find_purchase, key)
        return purchase_pb2.FindPurchaseResponse(details=await purchase_details(self._rules, found))

    async def GetPurchase(
        self, request: purchase_pb2.GetPurchaseRequest, context: Context
    ) -> purchase_pb2.GetPurchaseResponse:
        """A purchase by its id."""
        found = await self._db.read(
            purchases.get_purchase, UUID(request.purchase_id), client_id=own_client(caller())
        )
        return purchase_pb2.GetPurchaseResponse(details=await purchase_details(self._rules, found))


async def purchase_details(rules: RuleBook, found: PurchaseDetails) -> purchase_pb2.PurchaseDetails:
    """A purchase as protobuf has it, with what each line counts for under the rules that judged it."""
    terms = (await rules.get(found.rule_set_id)).at(found.purchase.sold_at)
    return encoding.purchase_details(found, terms)


def own_client(who: Caller) -> UUID | None:
    """The client whose purchases alone the caller may touch; staff may touch all."""
    return who.id if who.role == TILL else None


def _client(request: purchase_pb2.FindPurchaseRequest, who: Caller) -> UUID:
    """Whose receipt is looked for. Raises PURCHASE_NOT_FOUND, and VALIDATION_FAILED when staff do not say."""
    own = own_client(who)
    if not request.client_id:
        if own is None:
            raise invalid_field("client_id", "staff must say whose receipt it is")
        return own
    wanted = UUID(request.client_id)
    if own not in {None, wanted}:
        raise purchase_not_found()
    return wanted
