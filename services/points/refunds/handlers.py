"""PurchaseService: what happens to a receipt afterwards."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.caller import caller
from services.common.encoding import Context
from services.common.idempotency import fingerprint
from services.common.legacy_db import Database
from services.points import encoding
from services.points.balances.balances import Balances
from services.points.claims.claims import PurchaseClaims
from services.points.earning.rule_book import RuleBook
from services.points.programme import Programme
from services.points.purchases import queries as purchases
from services.points.purchases.purchase import ReceiptKey
from services.points.purchases.read_handlers import own_client
from services.points.refunds.commands import NewRefund, refund_purchase
from services.points.refunds.refund import Returned, refuse_doubles


class ReturnHandlers(purchase_pb2_grpc.PurchaseServiceServicer):
    """Implements refunds and claims at the till."""

    _db: Database
    _balances: Balances
    _programme: Programme
    _rules: RuleBook
    _claims: PurchaseClaims

    async def ClaimPurchase(
        self, request: purchase_pb2.ClaimPurchaseRequest, context: Context
    ) -> purchase_pb2.ClaimPurchaseResponse:
        """Gives a receipt of the till's to the member who showed a code."""
        encoding.refuse_nul(receipt_number=request.receipt_number, till_number=request.till_number)
        key = ReceiptKey(caller().id, request.till_number, request.receipt_number)
        claimed = await self._claims.by_receipt(key, request.member_code)
        return purchase_pb2.ClaimPurchaseResponse(
            purchase=encoding.purchase(claimed), balance_after=claimed.balance_after
        )

    async def RefundPurchase(
        self, request: purchase_pb2.RefundPurchaseRequest, context: Context
    ) -> purchase_pb2.RefundPurchaseResponse:
        """Takes back what returned goods earned, once."""
        new = _decode(request)
        head = await self._db.read(
            purchases.get_purchase_head, new.purchase_id, client_id=own_client(new.actor)
        )
        terms = (await self._rules.get(head.rule_set_id)).at(head.sold_at)
        done = await self._db.run(refund_purchase, new, terms=terms, programme=self._programme)
        await self._balances.changed([done.now] if done.now else [])
        return purchase_pb2.RefundPurchaseResponse(
            refund=encoding.refund(done.refund, self._programme.currency_code),
            balance_after=done.balance_after,
        )


def _decode(request: purchase_pb2.RefundPurchaseRequest) -> NewRefund:
    encoding.refuse_nul(refund_number=request.refund_number, reason=request.reason)
    lines = [Returned(one.line, one.quantity) for one in request.lines]
    refuse_doubles(lines)
    content = [sorted([*line] for line in lines), request.reason]
    return NewRefund(
        UUID(request.purchase_id),
        request.refund_number,
        fingerprint(orjson.dumps(content)),
        lines,
        request.reason,
        caller(),
    )
