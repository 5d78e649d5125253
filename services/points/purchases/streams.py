"""Streams of receipts: read ahead, recorded together, results in order. A slow client slows itself down."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

from google.rpc import status_pb2
from scrip.points.v1 import purchase_pb2

from services.common.errors import overloaded, unavailable
from services.points.earning import AppliedRules
from services.points.purchases import encoding
from services.points.purchases.purchase import Purchase

MOST_UNANSWERED = 2_000
"""Receipts of one stream with which no more is read, until some have results."""
_MOST_BYTES = 2 << 20
"""Of the same receipts, so that large ones do not take too much memory."""
_TOGETHER = 1_000
"""Receipts that are recorded together at most; and at least, while results are still being sent."""
_MOST_IN_RESPONSE = 100
"""Results of one message: enough that gRPC costs little for each, few enough that it stays small."""
_MOST_STREAMS, _MOST_OF_ONE_CLIENT = 64, 16

Receipts = Sequence[purchase_pb2.RecordPurchaseRequest]


class Answered(NamedTuple):
    """A recorded purchase, and the rules that held for it."""

    purchase: Purchase
    rules: AppliedRules


Outcome = Answered | status_pb2.Status
"""What became of a receipt: recorded, or refused."""
Record = Callable[[Receipts], Awaitable[Sequence[Outcome]]]


def set_result(result: purchase_pb2.PurchaseResult, outcome: Outcome) -> None:
    """Writes what became of a receipt."""
    if isinstance(outcome, Answered):
        encoding.set_recorded(result.recorded, outcome.purchase, outcome.rules)
    else:
        result.refused.CopyFrom(outcome)


class PurchaseStream:
    """One stream. Nothing more is read while the most receipts allowed wait for their results."""

    def __init__(self, requests: AsyncIterable[purchase_pb2.StreamPurchasesRequest], record: Record) -> None:
        self._requests = requests
        self._record = record
        self._unrecorded: list[purchase_pb2.RecordPurchaseRequest] = []
        self._sizes: deque[int] = deque()  # of those without a result
        self._bytes = 0
        self._least = 1  # of receipts, to begin recording
        self._failure: Exception | None = None
        self._ended = False
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def responses(self) -> AsyncIterator[purchase_pb2.StreamPurchasesResponse]:
        """Yields a result for each receipt, in order. At last raises what ended the stream."""
        self._reading = asyncio.create_task(self._read())
        recording = asyncio.create_task(self._record_next())
        position = 1
        try:
            while outcomes := await recording:
                # While these are being sent; but not with a few, for those to come would share the statement.
                self._least = _TOGETHER
                recording = asyncio.create_task(self._record_next())
                for begin in range(0, len(outcomes), _MOST_IN_RESPONSE):
                    response = purchase_pb2.StreamPurchasesResponse(first_position=position)
                    for outcome in outcomes[begin : begin + _MOST_IN_RESPONSE]:
                        set_result(response.results.add(), outcome)
                    yield response
                    position += len(response.results)
                    self._note_sent(len(response.results))
                self._least = 1
                self._more.set()
        finally:
            self._reading.cancel()
            recording.cancel()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Reads no more. What was read gets its results, then the stream ends with DEPENDENCY_UNAVAILABLE."""
        self._failure = self._failure or unavailable("points")
        if self._reading:
            self._reading.cancel()

    async def _read(self) -> None:
        try:
            async for request in self._requests:
                self._unrecorded.extend(request.purchases)
                size = request.ByteSize() // len(request.purchases)  # on average, which is cheap to know
                self._sizes.extend([size] * len(request.purchases))
                self._bytes += size * len(request.purchases)
                self._more.set()
                while self._is_full:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001  # raised again after the results that are due
            self._failure = error
        finally:
            self._ended = True
            self._more.set()

    @property
    def _is_full(self) -> bool:
        return len(self._sizes) >= MOST_UNANSWERED or self._bytes >= _MOST_BYTES

    async def _record_next(self) -> Sequence[Outcome]:
        """Records what is there, as soon as it is enough; nothing at the stream's end."""
        while len(self._unrecorded) < self._least and not self._ended:
            self._more.clear()
            await self._more.wait()
        receipts, self._unrecorded = self._unrecorded[:_TOGETHER], self._unrecorded[_TOGETHER:]
        return await self._record(receipts) if receipts else ()

    def _note_sent(self, count: int) -> None:
        self._bytes -= sum(self._sizes.popleft() for _ in range(count))
        self._room.set()


class PurchaseStreams:
    """The streams that are open, so that a stop can end them."""

    def __init__(self) -> None:
        self._open: dict[PurchaseStream, UUID] = {}
        self._closing = False

    @contextmanager
    def opened(
        self, client_id: UUID, requests: AsyncIterable[purchase_pb2.StreamPurchasesRequest], record: Record
    ) -> Iterator[PurchaseStream]:
        """A new stream of a client.

        Raises OVERLOADED when too many are open, of all or of this one; DEPENDENCY_UNAVAILABLE during a stop.
        """
        if self._closing:
            raise unavailable("points")
        own = sum(owner == client_id for owner in self._open.values())
        if len(self._open) >= _MOST_STREAMS or own >= _MOST_OF_ONE_CLIENT:
            raise overloaded("purchase_streams")
        stream = PurchaseStream(requests, record)
        self._open[stream] = client_id
        try:
            yield stream
        finally:
            del self._open[stream]

    def close(self) -> None:
        """Lets each end with the results that are due."""
        self._closing = True
        for stream in self._open:
            stream.stop()
