"""PurchaseService: what tills report."""

from __future__ import annotations

from scrip.points.v1 import purchase_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.points.balances import Balances
from services.points.claims import PurchaseClaims
from services.points.handlers import encoding
from services.points.handlers.purchase_batches import PurchaseBatchHandlers
from services.points.handlers.purchase_reads import PurchaseReadHandlers
from services.points.handlers.purchase_streams import PurchaseStreams
from services.points.handlers.receipts import ReceiptDecoder
from services.points.handlers.returns import ReturnHandlers
from services.points.programme import Programme
from services.points.recorder import PurchaseRecorder
from services.points.rule_book import RuleBook


class PurchaseHandlers(PurchaseBatchHandlers, ReturnHandlers, PurchaseReadHandlers):
    """Implements PurchaseService."""

    def __init__(
        self,
        recorder: PurchaseRecorder,
        programme: Programme,
        rules: RuleBook,
        *,
        db: Database,
        balances: Balances,
        claims: PurchaseClaims,
        streams: PurchaseStreams,
    ) -> None:
        self._db = db
        self._balances = balances
        self._recorder = recorder
        self._programme = programme
        self._rules = rules
        self._claims = claims
        self._receipts = ReceiptDecoder(programme, rules)
        self._streams = streams

    async def RecordPurchase(
        self, request: purchase_pb2.RecordPurchaseRequest, context: Context
    ) -> purchase_pb2.RecordPurchaseResponse:
        """Records a receipt together with those that come at the same time."""
        new = self._receipts.decode(request, caller().id)
        return encoding.recorded(await self._recorder.record(new))
