"""PurchaseService: what tills report."""

from __future__ import annotations

from datetime import datetime

from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.auth import caller
from services.common.encoding import Context, moment
from services.common.errors import invalid_field
from services.common.idempotency import fingerprint
from services.common.ids import new_id, utc_now
from services.points.handlers import encoding
from services.points.purchases import Item, NewPurchase, Programme, ReceiptKey, normal_code
from services.points.recorder import PurchaseRecorder


class PurchaseHandlers(purchase_pb2_grpc.PurchaseServiceServicer):
    """Implements PurchaseService."""

    def __init__(self, recorder: PurchaseRecorder, programme: Programme) -> None:
        self._recorder = recorder
        self._programme = programme

    async def RecordPurchase(
        self, request: purchase_pb2.RecordPurchaseRequest, context: Context
    ) -> purchase_pb2.RecordPurchaseResponse:
        """Records a receipt together with those that come at the same time."""
        recorded = await self._recorder.record(self._decode(request))
        return purchase_pb2.RecordPurchaseResponse(
            purchase=encoding.purchase(recorded), balance_after=recorded.balance_after
        )

    def _decode(self, request: purchase_pb2.RecordPurchaseRequest) -> NewPurchase:
        request.member_code = normal_code(request.member_code)
        content = request.SerializePartialToString(deterministic=True)
        if b"\0" in content:
            _refuse_nul(request)
        items = [
            Item(i.sku, i.name, i.category, i.unit_price_minor, i.quantity, i.alcohol) for i in request.items
        ]
        total = sum(item.unit_price_minor * item.quantity for item in items)
        eligible = sum(item.unit_price_minor * item.quantity for item in items if not item.alcohol)
        points = self._programme.rule.earned(eligible)
        sold_at = _sold_at(request)
        return NewPurchase(
            key=ReceiptKey(caller().id, request.till_number, request.receipt_number),
            fingerprint=fingerprint(content),
            id=new_id(),
            member_code=request.member_code,
            sold_at=sold_at,
            currency_code=request.currency_code,
            total_minor=total,
            eligible_minor=eligible,
            points=points,
            earn_rule=str(self._programme.rule),
            items=items,
            refusal=self._programme.refusal(
                currency_code=request.currency_code,
                sold_at=sold_at,
                total_minor=total,
                points=points,
                now=utc_now(),
            ),
        )


def _sold_at(request: purchase_pb2.RecordPurchaseRequest) -> datetime:
    sold_at = moment(request, "sold_at")
    assert sold_at is not None, "the contract requires it"
    return sold_at


def _refuse_nul(request: purchase_pb2.RecordPurchaseRequest) -> None:
    """Raises VALIDATION_FAILED for the first text with a NUL character, which can not be stored."""
    texts = {"receipt_number": request.receipt_number, "till_number": request.till_number}
    for index, item in enumerate(request.items):
        texts |= {
            f"items[{index}].sku": item.sku,
            f"items[{index}].name": item.name,
            f"items[{index}].category": item.category,
        }
    for field, value in texts.items():
        if "\0" in value:
            raise invalid_field(field, "must not contain a NUL character")
