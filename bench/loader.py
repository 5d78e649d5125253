"""The load generator, a process of its own: `python -m bench.loader` reads a plan and prints a result.

Raw HTTP/1.1 over kept connections, each with one request at a time: the next is sent when the response to
the last is complete. A general client would cost more than what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench.wire import ENTRIES, EXPECTED, SOLD_OUT, reads, requests
from bench.world import World

ANSWER_SECONDS = 10.0
CONNECT_TRIES = 20
SAMPLES = 3
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Plan:
    """What to send where."""

    world: str
    """Path of the world's file."""
    scenario: str
    port: int
    run: str
    """Begins the keys of this run, and of no other."""
    clients: int
    warm_up: float
    """Seconds before measuring."""
    seconds: float
    """Seconds of measuring."""
    database: str = ""
    """Of what is sent to PostgreSQL itself: its libpq URL."""
    turn: int = 0
    """Which of the discounts are claimed."""
    path: str = ""
    """What the first member reads, when the scenario is a history."""


@dataclass(frozen=True)
class Result:
    """What came of it. Throughput and latency are of the measured time, counts of the whole run."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answered: int
    """Good responses, those of the warm-up and of the last requests under way included."""
    errors: dict[str, int]
    samples: list[str]
    """Some of the responses that were errors."""
    loader_cpu_us: float
    """The loader's own CPU time per request."""


@dataclass
class Tally:
    """Counts responses, and keeps the latencies of those that came within the measured time."""

    expected: bytes
    begin: float
    end: float
    status: bytes = b"200"
    """Of a good response."""
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def answer(self, sent: float, status: bytes, body: bytes) -> None:
        """One complete response."""
        if status != self.status or self.expected not in body:
            self.error(status.decode(errors="replace"), body)
            return
        self.answered += 1
        now = time.perf_counter()
        if self.begin <= now < self.end:
            self.latencies.append(now - sent)

    def error(self, kind: str, body: bytes) -> None:
        """One request that got no good response."""
        self.errors[kind] += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(f"{kind}: {body[:300].decode(errors='replace')}")


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, queue: Iterator[bytes], tally: Tally) -> None:
        self._queue = queue
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent: float | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._send()

    def data_received(self, data: bytes) -> None:
        """Takes a response, and sends the next request when it is complete."""
        received = self._received + data if self._received else data
        answer = parse(received)
        if answer is None:
            self._received = received
            return
        self._received = b""
        if self._sent is not None:
            self._tally.answer(self._sent, *answer)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Counts the request that was under way."""
        if self._sent is not None:
            self._tally.error("connection lost", repr(error).encode())
        if not self.lost.done():
            self.lost.set_result(None)

    def check(self, now: float) -> None:
        """Gives up on a response that takes too long."""
        if self._transport and self._sent is not None and now - self._sent > ANSWER_SECONDS:
            self._transport.abort()

    def _send(self) -> None:
        now = time.perf_counter()
        assert self._transport is not None
        request = next(self._queue, None) if now < self._tally.end else None
        if request is None:
            self._sent = None
            self._tally.end = min(now, self._tally.end)
            self._transport.close()
            return
        self._sent = now
        self._transport.write(request)


def parse(received: bytes) -> tuple[bytes, bytes] | None:
    """Returns status and body of a response, or None when it is not complete yet."""
    end = received.find(HEAD_END)
    if end < 0:
        return None
    head, body = received[:end].lower(), received[end + len(HEAD_END) :]
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        after = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : after if after >= 0 else end])
        return (head[9:12], body) if len(body) >= length else None
    return (head[9:12], body) if body.endswith(LAST_CHUNK) else None


async def _keep_connected(plan: Plan, queue: Iterator[bytes], tally: Tally) -> None:
    """One client from beginning to end, on a new connection when the last one was lost."""
    loop = asyncio.get_running_loop()
    for _ in range(CONNECT_TRIES):
        _, client = await loop.create_connection(lambda: Client(queue, tally), "127.0.0.1", plan.port)
        while not client.lost.done():
            await asyncio.wait([client.lost], timeout=1.0)
            client.check(time.perf_counter())
            if time.perf_counter() > tally.end + 2 * ANSWER_SECONDS:
                raise TimeoutError("a connection neither answers nor closes")
        if time.perf_counter() >= tally.end:
            return
    raise ConnectionError(f"a connection to port {plan.port} was lost {CONNECT_TRIES} times")


async def run(plan: Plan) -> Result:
    """Sends requests for the time of the plan and waits for the last responses."""
    world = World.read(Path(plan.world))
    if plan.scenario == ENTRIES:
        queue = reads(world, plan.port, plan.path)
    else:
        queue = requests(plan.scenario, world, plan.port, plan.run, plan.turn)
    begin = time.perf_counter() + plan.warm_up
    status = b"400" if plan.scenario == SOLD_OUT else b"200"
    tally = Tally(EXPECTED[plan.scenario], begin, begin + plan.seconds, status)
    cpu = time.process_time()
    await asyncio.gather(*(_keep_connected(plan, queue, tally) for _ in range(plan.clients)))
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


def percentile(ordered: list[float], percent: int) -> float:
    """Returns the value that `percent` of these ordered ones do not exceed; of none it is 0."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Plan(**json.load(sys.stdin)))))))
