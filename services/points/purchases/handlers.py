"""PurchaseService: what tills report."""

from __future__ import annotations

from scrip.points.v1 import purchase_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.points import encoding
from services.points.balances.balances import Balances
from services.points.claims.claims import PurchaseClaims
from services.points.earning.rule_book import RuleBook
from services.points.programme import Programme
from services.points.purchases.batch_handlers import PurchaseBatchHandlers
from services.points.purchases.read_handlers import PurchaseReadHandlers
from services.points.purchases.receipts import ReceiptDecoder
from services.points.purchases.recorder import PurchaseRecorder
from services.points.purchases.streams import PurchaseStreams
from services.points.refunds.handlers import ReturnHandlers


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
