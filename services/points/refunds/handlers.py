"""PurchaseService: goods that come back."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.points.v1 import purchase_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, refuse_nul
from services.common.idempotency import fingerprint
from services.points.balances import Balances
from services.points.earning import RuleBook
from services.points.programme import Programme
from services.points.purchases import get_purchase_head, own_client
from services.points.refunds import encoding
from services.points.refunds.commands import NewRefund, refund_purchase
from services.points.refunds.rules import Returned, refuse_doubles


class RefundHandlers:
    """Implements RefundPurchase of PurchaseService."""

    def __init__(self, db: Database, balances: Balances, programme: Programme, rules: RuleBook) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme
        self._rules = rules

    async def RefundPurchase(
        self, request: purchase_pb2.RefundPurchaseRequest, context: Context
    ) -> purchase_pb2.RefundPurchaseResponse:
        """Takes back what returned goods earned, once."""
        new = _decode(request)
        head = await self._db.read(get_purchase_head, new.purchase_id, client_id=own_client(new.actor))
        terms = (await self._rules.get(head.rule_set_id)).at(head.sold_at)
        done = await self._db.run(refund_purchase, new, terms=terms, programme=self._programme)
        await self._balances.changed([done.now] if done.now else [])
        return purchase_pb2.RefundPurchaseResponse(
            refund=encoding.refund(done.refund, self._programme.currency_code),
            balance_after=done.balance_after,
        )


def _decode(request: purchase_pb2.RefundPurchaseRequest) -> NewRefund:
    refuse_nul(refund_number=request.refund_number, reason=request.reason)
    lines = [Returned(one.line, one.quantity, one.quantity_milli) for one in request.lines]
    refuse_doubles(lines)
    content = [sorted(line.stored() for line in lines), request.reason]
    return NewRefund(
        purchase_id=UUID(request.purchase_id),
        number=request.refund_number,
        fingerprint=fingerprint(orjson.dumps(content)),
        lines=lines,
        reason=request.reason,
        actor=caller(),
    )
