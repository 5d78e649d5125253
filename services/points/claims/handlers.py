"""Claims: of PurchaseService at the till, of PointsService by the member."""

from __future__ import annotations

from scrip.points.v1 import points_pb2, purchase_pb2

from services.common.caller import caller
from services.common.encoding import Context, refuse_nul
from services.points.claims.purchase_claims import PurchaseClaims
from services.points.earning import RuleBook
from services.points.purchases import Purchase, ReceiptKey, encoding


class ClaimHandlers:
    """Implements ClaimPurchase and ClaimMyPurchase."""

    def __init__(self, claims: PurchaseClaims, rules: RuleBook) -> None:
        self._claims = claims
        self._rules = rules

    async def ClaimPurchase(
        self, request: purchase_pb2.ClaimPurchaseRequest, context: Context
    ) -> purchase_pb2.ClaimPurchaseResponse:
        """Gives a receipt of the till's to the member who showed a code."""
        refuse_nul(receipt_number=request.receipt_number, till_number=request.till_number)
        key = ReceiptKey(caller().id, request.till_number, request.receipt_number)
        claimed = await self._claims.by_receipt(key, request.member_code)
        return purchase_pb2.ClaimPurchaseResponse(
            purchase=await self._encoded(claimed), balance_after=_balance(claimed)
        )

    async def ClaimMyPurchase(
        self, request: points_pb2.ClaimMyPurchaseRequest, context: Context
    ) -> points_pb2.ClaimMyPurchaseResponse:
        """Makes a receipt the caller's."""
        claimed = await self._claims.by_claim_code(caller().id, request.claim_code)
        return points_pb2.ClaimMyPurchaseResponse(
            purchase=await self._encoded(claimed), balance_after=_balance(claimed)
        )

    async def _encoded(self, claimed: Purchase) -> purchase_pb2.Purchase:
        (rules,) = await self._rules.applied([claimed])
        return encoding.purchase(claimed, rules)


def _balance(claimed: Purchase) -> int:
    assert claimed.balance_after is not None, "it has a member now"
    return claimed.balance_after
