"""PurchaseService: goods that come back, and receipts that are void."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson
from scrip.points.v1 import purchase_pb2

from services.common import status, validation
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, moment, refuse_nul
from services.common.errors import invalid_field
from services.common.idempotency import fingerprint
from services.points.balances import Balances
from services.points.earning import RuleBook
from services.points.programme import Programme
from services.points.purchases import (
    PurchaseHead,
    ReceiptKey,
    find_purchase_head,
    get_purchase_head,
    own_client,
    purchase_not_found,
)
from services.points.refunds import encoding
from services.points.refunds.commands import VOID, NewRefund, Refunded, refund_purchase
from services.points.refunds.rules import Returned, refuse_doubles

_AT_ONCE = 4
"""Refunds of a batch that are recorded at the same time: fewer than a process has connections."""


class RefundHandlers:
    """Implements what PurchaseService has of refunds."""

    def __init__(self, db: Database, balances: Balances, programme: Programme, rules: RuleBook) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme
        self._rules = rules

    async def RefundPurchase(
        self, request: purchase_pb2.RefundPurchaseRequest, context: Context
    ) -> purchase_pb2.RefundPurchaseResponse:
        """Takes back what returned goods earned, once."""
        refuse_nul(refund_number=request.refund_number, reason=request.reason)
        purchase_id = UUID(request.purchase_id)
        new = _new_refund(
            purchase_id,
            request.refund_number,
            _lines(request.lines),
            request.reason,
            moment(request, "refunded_at"),
        )
        head = await self._db.read(get_purchase_head, purchase_id, client_id=own_client(new.actor))
        done = await self._refund(head, new)
        return purchase_pb2.RefundPurchaseResponse(
            refund=encoding.refund(done.refund, self._programme.currency_code),
            balance_after=done.balance_after,
        )

    async def RefundReceipt(
        self, request: purchase_pb2.RefundReceiptRequest, context: Context
    ) -> purchase_pb2.RefundReceiptResponse:
        """The same by the receipt, at any till."""
        return await self._refund_receipt(request)

    async def BatchRefundReceipts(
        self, request: purchase_pb2.BatchRefundReceiptsRequest, context: Context
    ) -> purchase_pb2.BatchRefundReceiptsResponse:
        """Records refunds, each by itself; those of one receipt one after the other, in their order."""
        results = [purchase_pb2.RefundResult() for _ in request.refunds]
        by_receipt: dict[tuple[str, str, str], list[int]] = {}
        for place, one in enumerate(request.refunds):
            by_receipt.setdefault((one.client_id, one.till_number, one.receipt_number), []).append(place)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def record(places: Sequence[int]) -> None:
            async with turns:
                for place in places:
                    await self._record_one(request.refunds[place], results[place])

        await asyncio.gather(*map(record, by_receipt.values()))
        return purchase_pb2.BatchRefundReceiptsResponse(results=results)

    async def VoidPurchase(
        self, request: purchase_pb2.VoidPurchaseRequest, context: Context
    ) -> purchase_pb2.VoidPurchaseResponse:
        """Takes back all that is left of a receipt, once, and marks it as void."""
        refuse_nul(
            receipt_number=request.receipt_number, till_number=request.till_number, reason=request.reason
        )
        own = own_client(caller())
        client_id = _client(request.client_id)
        if own not in {None, client_id}:
            raise purchase_not_found()
        key = ReceiptKey(client_id, request.till_number, request.receipt_number)
        head = await self._db.read(find_purchase_head, key)
        new = _new_refund(head.id, VOID, (), request.reason, moment(request, "voided_at"), voids=True)
        done = await self._refund(head, new)
        return purchase_pb2.VoidPurchaseResponse(
            refund=encoding.refund(done.refund, self._programme.currency_code),
            balance_after=done.balance_after,
            purchase_id=str(head.id),
        )

    async def _record_one(
        self, request: purchase_pb2.RefundReceiptRequest, result: purchase_pb2.RefundResult
    ) -> None:
        """Writes what became of one refund of a batch: whatever goes wrong, it fails this one alone."""
        try:
            validation.validate(request)
            result.recorded.CopyFrom(await self._refund_receipt(request))
        except Exception as error:  # noqa: BLE001  # its result is as of the single call
            result.refused.CopyFrom(status.of_any(error, "a refund among many"))

    async def _refund_receipt(
        self, request: purchase_pb2.RefundReceiptRequest
    ) -> purchase_pb2.RefundReceiptResponse:
        refuse_nul(
            receipt_number=request.receipt_number,
            till_number=request.till_number,
            refund_number=request.refund_number,
            reason=request.reason,
        )
        lines, refunded_at = _lines(request.lines), moment(request, "refunded_at")
        key = ReceiptKey(_client(request.client_id), request.till_number, request.receipt_number)
        head = await self._db.read(find_purchase_head, key)
        new = _new_refund(head.id, request.refund_number, lines, request.reason, refunded_at)
        done = await self._refund(head, new)
        return purchase_pb2.RefundReceiptResponse(
            refund=encoding.refund(done.refund, self._programme.currency_code),
            balance_after=done.balance_after,
            purchase_id=str(head.id),
        )

    async def _refund(self, head: PurchaseHead, new: NewRefund) -> Refunded:
        terms = (await self._rules.get(head.rule_set_id)).at(head.sold_at)
        done = await self._db.run(refund_purchase, new, terms=terms, programme=self._programme)
        await self._balances.changed([done.now] if done.now else [])
        return done


def _client(client_id: str) -> UUID:
    """Returns whose receipt it is, the caller's if none is named. Raises VALIDATION_FAILED for staff."""
    if client_id:
        return UUID(client_id)
    own = own_client(caller())
    if own is None:
        raise invalid_field("client_id", "staff must say whose receipt it is")
    return own


def _lines(lines: Sequence[purchase_pb2.RefundLine]) -> Sequence[Returned]:
    """Returns what comes back. Raises VALIDATION_FAILED for a line that is there twice."""
    returned = [Returned(one.line, one.quantity, one.quantity_milli) for one in lines]
    refuse_doubles(returned)
    return returned


def _new_refund(
    purchase_id: UUID,
    number: str,
    lines: Sequence[Returned],
    reason: str,
    refunded_at: datetime | None,
    *,
    voids: bool = False,
) -> NewRefund:
    # What could be said before refunds had a time of their own keeps its fingerprint.
    content: list[object] = [sorted(line.stored() for line in lines), reason]
    if refunded_at or voids:
        content.append([refunded_at.isoformat() if refunded_at else "", voids])
    return NewRefund(
        purchase_id=purchase_id,
        number=number,
        fingerprint=fingerprint(orjson.dumps(content)),
        lines=lines,
        reason=reason,
        actor=caller(),
        refunded_at=refunded_at,
        voids=voids,
    )
