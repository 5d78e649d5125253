"""What may break under orders, each for a while; all of it is mended when the fault returns."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from stack.ports import free_block
from stack.services import SERVICES
from stack.testing import INNER_PORTS, RunningStack
from tests.faults.hop import Hop, Weather
from tests.hanging import hanging
from tests.platform import Platform, start_platform

CALLED = ("identity", "points", "promos")
"""What vouchers calls, each over a hop."""
KILLED = ("identity", "points", "promos", "vouchers", "vouchers-worker", "promos-worker")
STOPPED = ("points", "promos", "vouchers", "identity")
STOPPED_SECONDS = 20.0
BAD_SECONDS = 6.0
DELAYS = (0.05, 0.4, 1.2)


@dataclass(frozen=True)
class Breakable:
    """A platform, and the network between vouchers and what it calls."""

    live: Platform
    hops: Mapping[str, Hop]


Fault = Callable[[Breakable, random.Random], Coroutine[Any, Any, None]]


@contextmanager
def breakable_stack(folder: Path, **settings: Any) -> Iterator[tuple[RunningStack, Mapping[str, Hop]]]:
    """A stack in which vouchers calls the other services over hops."""
    base = free_block(INNER_PORTS + 2 + len(CALLED))
    edge, first = base + INNER_PORTS, base + INNER_PORTS + 2
    hops = {
        name: Hop(first + number, base + 10 * (SERVICES.index(name) + 1))
        for number, name in enumerate(CALLED)
    }
    by_hops = {f"SCRIP_{name.upper()}_TARGET": f"ipv4:127.0.0.1:{hop.port}" for name, hop in hops.items()}
    by_hops |= {"SCRIP_GIFTS_PER_DAY": "1000000"}
    with ExitStack() as running:
        for hop in hops.values():
            hop.start()
            running.callback(hop.stop)
        stack = start_platform(
            folder, base_port=base, edge_port=edge, ops_port=edge + 1, env_vouchers=by_hops, **settings
        )
        try:
            yield stack, hops
        finally:
            assert stack.stop() == 0


async def killed(broken: Breakable, chance: random.Random) -> None:
    """Each process of a service dies by SIGKILL, one after the other."""
    stack = broken.live.stack
    for name in chance.sample(KILLED, len(KILLED)):
        pid = await broken.live.kill(name)
        await asyncio.to_thread(stack.wait_restarted, name, pid)
        await asyncio.sleep(chance.uniform(0, 4))


async def stopped(broken: Breakable, chance: random.Random) -> None:
    """Each service hangs for 20 s; one begins before the other ends."""

    async def one(name: str, after: float) -> None:
        await asyncio.sleep(after)
        with hanging(broken.live.stack, name):
            await asyncio.sleep(STOPPED_SECONDS)

    names = chance.sample(STOPPED, len(STOPPED))
    await asyncio.gather(*(one(name, 2.0 * place) for place, name in enumerate(names)))


async def stopped_in_turn(broken: Breakable, chance: random.Random) -> None:
    """Each service hangs for 20 s, and no other meanwhile."""
    for name in chance.sample(STOPPED, len(STOPPED)):
        with hanging(broken.live.stack, name):
            await asyncio.sleep(STOPPED_SECONDS)


async def redis_lost(broken: Breakable, chance: random.Random) -> None:
    """Redis forgets everything, some times, and dies once on the way."""
    live = broken.live
    for dies in chance.sample([False, False, True], 3):
        async with Redis.from_url(live.stack.endpoints.redis_url) as redis:
            await redis.flushall()
        if dies:
            pid = await live.kill("redis")
            await asyncio.to_thread(live.stack.wait_restarted, "redis", pid)
        await asyncio.sleep(chance.uniform(0.2, 0.8))


async def postgres_stopped(broken: Breakable, chance: random.Random) -> None:
    """PostgreSQL is stopped as by `pg_ctl stop -m immediate`, and started again."""
    await asyncio.sleep(chance.uniform(0, 1))
    stack = broken.live.stack
    pid = stack.pid("postgres")
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    await asyncio.to_thread(stack.wait_restarted, "postgres", pid)


async def slow(broken: Breakable, chance: random.Random) -> None:
    """What vouchers calls replies late, some of it too late."""
    await _bad(broken, {name: Weather(delay_seconds=chance.choice(DELAYS)) for name in CALLED}, heals=False)


async def half_open(broken: Breakable, chance: random.Random) -> None:
    """Connections stay open and lose requests or replies, and stay so for ever: only new ones work again."""
    await _bad(broken, {name: _lossy(chance) for name in CALLED}, heals=False)


async def cut(broken: Breakable, chance: random.Random) -> None:
    """Connections lose what is sent after some bytes, and are cut in the end."""
    await _bad(broken, {name: _lossy(chance) for name in CALLED}, heals=True)


def _lossy(chance: random.Random) -> Weather:
    requests, replies = chance.choice([(True, False), (False, True), (True, True)])
    return Weather(
        loses_requests=requests, loses_replies=replies, bytes_before=chance.choice([0, 4_000, 40_000])
    )


async def _bad(broken: Breakable, weather: Mapping[str, Weather], *, heals: bool) -> None:
    with ExitStack() as bad:
        for name, kind in weather.items():
            bad.enter_context(broken.hops[name].under(kind, heals=heals))
        await asyncio.sleep(BAD_SECONDS)


ALL: Sequence[Fault] = (
    slow,
    killed,
    redis_lost,
    cut,
    postgres_stopped,
    half_open,
    stopped,
    stopped_in_turn,
)
