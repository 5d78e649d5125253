"""Streams of receipts: read ahead, recorded together, answered in order. A slow client slows itself down."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from google.rpc import status_pb2
from scrip.points.v1 import purchase_pb2

from services.common.errors import overloaded, unavailable
from services.points.handlers import encoding
from services.points.purchases import Purchase

MOST_UNANSWERED = 1_000
"""Receipts of one stream that are read and not yet answered."""
_MOST_BYTES = 2 << 20
"""Of the same receipts, lest large ones take too much memory."""
_MOST_STREAMS = 64

Receipts = Sequence[purchase_pb2.RecordPurchaseRequest]
Outcome = Purchase | status_pb2.Status
"""What became of a receipt: recorded, or refused."""
Record = Callable[[Receipts], Awaitable[Sequence[Outcome]]]


def set_result(result: purchase_pb2.PurchaseResult, outcome: Outcome) -> None:
    """Tells what became of a receipt."""
    if isinstance(outcome, Purchase):
        encoding.set_recorded(result.recorded, outcome)
    else:
        result.refused.CopyFrom(outcome)


class PurchaseStream:
    """One stream. Nothing more is read while as many receipts as may be wait for their answers."""

    def __init__(self, requests: AsyncIterable[purchase_pb2.StreamPurchasesRequest], record: Record) -> None:
        self._requests = requests
        self._record = record
        self._unrecorded: list[purchase_pb2.RecordPurchaseRequest] = []
        self._sizes: deque[int] = deque()  # of those without an answer
        self._bytes = 0
        self._failure: Exception | None = None
        self._ended = False
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def answers(self) -> AsyncIterator[purchase_pb2.StreamPurchasesResponse]:
        """An answer for each receipt, in order. Raises what ended the stream when all others are out."""
        self._reading = asyncio.create_task(self._read())
        recording = asyncio.create_task(self._record_next())
        position = 0
        try:
            while outcomes := await recording:
                recording = asyncio.create_task(self._record_next())  # while these are being sent
                for outcome in outcomes:
                    position += 1
                    answer = purchase_pb2.StreamPurchasesResponse(position=position)
                    set_result(answer.result, outcome)
                    yield answer
                    self._note_answered()
        finally:
            self._reading.cancel()
            recording.cancel()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Reads no more. What was read is answered, and the client told to come back."""
        self._failure = self._failure or unavailable("points")
        if self._reading:
            self._reading.cancel()

    async def _read(self) -> None:
        try:
            async for request in self._requests:
                self._unrecorded.append(request.purchase)
                self._sizes.append(request.ByteSize())
                self._bytes += self._sizes[-1]
                self._more.set()
                while self._is_full:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001  # raised again after the answers that are due
            self._failure = error
        finally:
            self._ended = True
            self._more.set()

    @property
    def _is_full(self) -> bool:
        return len(self._sizes) >= MOST_UNANSWERED or self._bytes >= _MOST_BYTES

    async def _record_next(self) -> Sequence[Outcome]:
        """Records all that is there, as soon as there is something; nothing at the stream's end."""
        while not self._unrecorded and not self._ended:
            self._more.clear()
            await self._more.wait()
        receipts, self._unrecorded = self._unrecorded, []
        return await self._record(receipts) if receipts else ()

    def _note_answered(self) -> None:
        self._bytes -= self._sizes.popleft()
        self._room.set()


class PurchaseStreams:
    """The streams that are open, so that a stop can end them."""

    def __init__(self) -> None:
        self._open: set[PurchaseStream] = set()
        self._closing = False

    @contextmanager
    def opened(
        self, requests: AsyncIterable[purchase_pb2.StreamPurchasesRequest], record: Record
    ) -> Iterator[PurchaseStream]:
        """A new stream. Raises OVERLOADED when too many are open, DEPENDENCY_UNAVAILABLE during a stop."""
        if self._closing:
            raise unavailable("points")
        if len(self._open) >= _MOST_STREAMS:
            raise overloaded("purchase_streams")
        stream = PurchaseStream(requests, record)
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def close(self) -> None:
        """Lets each end with the answers that are due."""
        self._closing = True
        for stream in self._open:
            stream.stop()
