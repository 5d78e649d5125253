"""The load generator of streams: `python -m bench.streams` reads a plan and prints a result.

Plain HTTP/2 with as much as a gRPC stream needs, for a general client costs more than what it measures:
each connection has one stream, sends as fast as flow control lets it, and counts the results.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import uvloop
from scrip.points.v1.purchase_pb2 import StreamPurchasesResponse

from bench.loader import ANSWER_SECONDS, Plan, Result, Tally, percentile
from bench.wire import IN_MESSAGE, streamed
from bench.world import World

PATH = "/scrip.points.v1.PurchaseService/StreamPurchases"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
FRAME_HEAD, MESSAGE_HEAD = 9, 5
LARGEST_FRAME = 16_384
OWN_WINDOW = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(fields: dict[str, str]) -> bytes:
    """Header fields as HPACK has them, none of them compressed."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(value: str) -> bytes:
    raw = value.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length, rest = length + bytes((rest % 128 + 128,)), rest // 128
    return length + bytes((rest,)) + raw


class Stream(asyncio.Protocol):
    """One connection with one stream."""

    def __init__(self, queue: Iterator[bytes], in_message: int, token: str, tally: Tally) -> None:
        self._queue = queue
        self._in_message = in_message
        self._token = token
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._unread = bytearray()
        self._windows = {0: 65_535, 1: 65_535}
        self._consumed = 0
        self._sent: deque[float] = deque()
        self._pending = b""
        self._sending = True
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens the stream."""
        self._transport = cast(asyncio.Transport, transport)
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": PATH,
            ":authority": "scrip",
            "te": "trailers",
            "content-type": "application/grpc",
            "authorization": f"Bearer {self._token}",
        }
        self._transport.write(
            PREFACE
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, OWN_WINDOW))
            + frame(WINDOW, 0, 0, struct.pack(">I", OWN_WINDOW))
            + frame(HEADERS, END_HEADERS, 1, headers(fields))
        )
        self._send()

    def data_received(self, data: bytes) -> None:
        """Takes frames, and sends what they make room for."""
        self._received += data
        at = 0
        while len(self._received) - at >= FRAME_HEAD:
            length = int.from_bytes(self._received[at : at + 3], "big")
            end = at + FRAME_HEAD + length
            if len(self._received) < end:
                break
            kind, flags = self._received[at + 3], self._received[at + 4]
            stream = int.from_bytes(self._received[at + 5 : at + FRAME_HEAD], "big")
            self._take(kind, flags, stream, bytes(self._received[at + FRAME_HEAD : end]))
            at = end
        del self._received[:at]
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Counts what was under way."""
        for _ in self._sent:
            self._tally.error("connection lost", repr(error).encode())
        if not self.lost.done():
            self.lost.set_result(None)

    def check(self, now: float) -> None:
        """Gives up on a result that takes too long."""
        if self._transport and self._sent and now - self._sent[0] > ANSWER_SECONDS:
            self._transport.abort()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == DATA:
            self._unread += payload
            self._count()
            self._consumed += len(payload)
            if self._consumed > OWN_WINDOW // 2:
                more = struct.pack(">I", self._consumed)
                self._transport.write(frame(WINDOW, 0, 0, more) + frame(WINDOW, 0, 1, more))
                self._consumed = 0
        elif kind == WINDOW:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                if name == INITIAL_WINDOW_SIZE:
                    self._windows[1] += value - 65_535
            self._transport.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        if kind in (RESET, GOAWAY) or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self._transport.close()

    def _count(self) -> None:
        at = 0
        while len(self._unread) - at >= MESSAGE_HEAD:
            end = at + MESSAGE_HEAD + int.from_bytes(self._unread[at + 1 : at + MESSAGE_HEAD], "big")
            if len(self._unread) < end:
                break
            answer = StreamPurchasesResponse.FromString(bytes(self._unread[at + MESSAGE_HEAD : end]))
            for result in answer.results:
                status = b"200" if result.HasField("recorded") else b"refused"
                self._tally.answer(self._sent.popleft(), status, result.refused.message.encode())
            at = end
        del self._unread[:at]

    def _send(self) -> None:
        if not self._sending or self._transport is None or self._transport.is_closing():
            return
        now = time.perf_counter()
        room = min(self._windows.values())
        while room > 0:
            if not self._pending and now >= self._tally.end:
                self._sending = False
                self._transport.write(frame(DATA, END_STREAM, 1))
                return
            if not self._pending:
                message = next(self._queue)
                self._pending = b"\0" + struct.pack(">I", len(message)) + message
                self._sent.extend([now] * self._in_message)
            part = self._pending[: min(room, LARGEST_FRAME)]
            self._pending = self._pending[len(part) :]
            self._transport.write(frame(DATA, 0, 1, part))
            room -= len(part)
            for stream in self._windows:
                self._windows[stream] -= len(part)


async def _keep_streaming(plan: Plan, queue: Iterator[bytes], token: str, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    stream = Stream(queue, IN_MESSAGE[plan.scenario], token, tally)
    await loop.create_connection(lambda: stream, "127.0.0.1", plan.port)
    while not stream.lost.done():
        await asyncio.wait([stream.lost], timeout=0.2)
        stream.check(time.perf_counter())


async def run(plan: Plan) -> Result:
    """Sends receipts for the time of the plan and waits for the last results."""
    world = World.read(Path(plan.world))
    begin = time.perf_counter() + plan.warm_up
    tally = Tally(b"", begin, begin + plan.seconds)
    cpu = time.process_time()
    queues = streamed(world, plan.scenario, plan.run)
    await asyncio.gather(
        *(
            _keep_streaming(plan, next(queues), world.tills[number % len(world.tills)], tally)
            for number in range(plan.clients)
        )
    )
    cpu = time.process_time() - cpu
    latencies = sorted(tally.latencies)
    requested = max(1, tally.answered + sum(tally.errors.values()))
    return Result(
        per_second=len(latencies) / plan.seconds,
        p50_ms=percentile(latencies, 50) * 1_000,
        p99_ms=percentile(latencies, 99) * 1_000,
        answered=tally.answered,
        errors=dict(tally.errors),
        samples=tally.samples,
        loader_cpu_us=cpu / requested * 1e6,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Plan(**json.load(sys.stdin)))))))
