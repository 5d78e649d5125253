"""PurchaseService: receipts at volume, as batches and as streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from functools import partial
from uuid import UUID

from google.rpc import status_pb2
from scrip.points.v1 import purchase_pb2

from services.common import status, validation
from services.common.caller import caller
from services.common.encoding import Context
from services.points.earning import RuleBook
from services.points.purchases.purchase import NewPurchase, Purchase
from services.points.purchases.receipts import ReceiptDecoder
from services.points.purchases.recorder import MOST_TOGETHER, PurchaseRecorder
from services.points.purchases.streams import Answered, Outcome, PurchaseStreams, Receipts, set_result

_MOST_ITEMS = 20_000
"""Lines of receipts that go into one statement, but for those of a single receipt."""
_BREATH = 50
"""Receipts after which other calls get their turn."""


class BatchHandlers:
    """Implements BatchRecordPurchases and StreamPurchases of PurchaseService."""

    def __init__(
        self,
        receipts: ReceiptDecoder,
        recorder: PurchaseRecorder,
        streams: PurchaseStreams,
        rules: RuleBook,
    ) -> None:
        self._receipts = receipts
        self._recorder = recorder
        self._streams = streams
        self._rules = rules

    async def BatchRecordPurchases(
        self, request: purchase_pb2.BatchRecordPurchasesRequest, context: Context
    ) -> purchase_pb2.BatchRecordPurchasesResponse:
        """Records receipts together; each has its own result."""
        response = purchase_pb2.BatchRecordPurchasesResponse()
        client_id = caller().id
        for portion in _portions(request.purchases):
            begun = len(response.results) > 0
            for outcome in await self._record_portion(portion, client_id=client_id, patient=begun):
                set_result(response.results.add(), outcome)
        return response

    async def StreamPurchases(
        self, request_iterator: AsyncIterable[purchase_pb2.StreamPurchasesRequest], context: Context
    ) -> AsyncIterator[purchase_pb2.StreamPurchasesResponse]:
        """Records receipts as they come; those that are there together share statements."""
        record = partial(self._record_patiently, caller().id)
        with self._streams.opened(caller().id, request_iterator, record) as stream:
            await context.send_initial_metadata(())  # the edge waits long for a stream that has begun
            async for response in stream.responses():
                yield response

    async def _record_patiently(self, client_id: UUID, receipts: Receipts) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        for portion in _portions(receipts):
            outcomes += await self._record_portion(portion, client_id=client_id, patient=True)
        return outcomes

    async def _record_portion(
        self, receipts: Receipts, *, client_id: UUID, patient: bool
    ) -> Sequence[Outcome]:
        """Returns what became of each receipt. Raises OVERLOADED, before anything is done, unless patient."""
        async with self._recorder.room.taken(len(receipts), patient=patient):
            decoded: list[NewPurchase | Exception] = []
            for count, receipt in enumerate(receipts, 1):
                decoded.append(self._decoded(receipt, client_id))
                if count % _BREATH == 0:
                    await asyncio.sleep(0)
            valid = [new for new in decoded if isinstance(new, NewPurchase)]
            recorded = await self._recorder.record_all(valid)
            rules = iter(await self._rules.applied([one for one in recorded if isinstance(one, Purchase)]))
            answers = iter(
                [Answered(one, next(rules)) if isinstance(one, Purchase) else one for one in recorded]
            )
            return _with_statuses([one if isinstance(one, Exception) else next(answers) for one in decoded])

    def _decoded(
        self, receipt: purchase_pb2.RecordPurchaseRequest, client_id: UUID
    ) -> NewPurchase | Exception:
        """Returns the receipt, or why it is refused: whatever it is, it fails this receipt alone."""
        try:
            validation.validate(receipt)
            return self._receipts.decode(receipt, client_id)
        except Exception as error:  # noqa: BLE001  # its result is as of the single call
            return error


def _portions(receipts: Receipts) -> Iterator[Receipts]:
    """Yields all receipts in order, in parts that fit into one statement."""
    portion: list[purchase_pb2.RecordPurchaseRequest] = []
    items = 0
    for receipt in receipts:
        more = len(receipt.items)
        if portion and (len(portion) == MOST_TOGETHER or items + more > _MOST_ITEMS):
            yield portion
            portion, items = [], 0
        portion.append(receipt)
        items += more
    if portion:
        yield portion


def _with_statuses(outcomes: Sequence[Answered | Exception]) -> Sequence[Outcome]:
    """Returns the outcomes with each error as the status that its caller sees."""
    known: dict[int, status_pb2.Status] = {}  # many may share one error, whose status is made once
    made: list[Outcome] = []
    for outcome in outcomes:
        if isinstance(outcome, Answered):
            made.append(outcome)
            continue
        refused = known.get(id(outcome))
        if refused is None:
            refused = known[id(outcome)] = status.of_any(outcome, "a receipt among many")
        made.append(refused)
    return made
