"""Sends the same requests again and again: `python -m bench.logins_loader` reads a plan, prints a result."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import uvloop

from bench.loader import ANSWER_SECONDS, Client, Tally, percentile


@dataclass(frozen=True)
class Plan:
    """What to send where."""

    port: int
    requests: list[str]
    """Whole HTTP requests, sent in turn."""
    expected: str
    """What a good response holds."""
    clients: int
    warm_up: float
    """Seconds before measuring."""
    seconds: float
    """Seconds of measuring."""


@dataclass(frozen=True)
class Sent:
    """What came of it, in the measured time."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: dict[str, int]
    samples: list[str]
    """Some of the responses that were errors."""


async def run(plan: Plan) -> Sent:
    """Sends requests for the time of the plan, one at a time per client, and waits for the last responses."""
    queue = itertools.cycle([request.encode() for request in plan.requests])
    begin = time.perf_counter() + plan.warm_up
    tally = Tally(plan.expected.encode(), begin, begin + plan.seconds)
    await asyncio.gather(*(_client(plan.port, queue, tally) for _ in range(plan.clients)))
    latencies = sorted(tally.latencies)
    return Sent(
        per_second=len(latencies) / plan.seconds,
        p50_ms=percentile(latencies, 50) * 1_000,
        p99_ms=percentile(latencies, 99) * 1_000,
        errors=dict(tally.errors),
        samples=tally.samples,
    )


async def _client(port: int, queue: Iterator[bytes], tally: Tally) -> None:
    """One connection from beginning to end; a lost one is an error and not made again."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(queue, tally), "127.0.0.1", port)
    while not client.lost.done():
        await asyncio.wait([client.lost], timeout=1.0)
        client.check(time.perf_counter())
        if time.perf_counter() > tally.end + 2 * ANSWER_SECONDS:
            raise TimeoutError("a connection neither answers nor closes")


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Plan(**json.load(sys.stdin)))))))
