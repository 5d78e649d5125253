"""PurchaseService: one receipt."""

from __future__ import annotations

from scrip.points.v1 import purchase_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.points.earning import RuleBook
from services.points.purchases import encoding
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
