"""A crowd logs in for the first time: `python -m bench.first_logins` has 20,000 come for 100 places.

What identity would write for them stands in its outbox at once, and takes the real way: identity's worker,
promos. On the way promos and the workers are killed and Redis is flushed. Exactly 100 must win. How long it
takes until promos has them all, and what logins take meanwhile, is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx
import psycopg
from redis.asyncio import Redis

from bench import edge, world
from bench.children import BenchError
from services.common import outbox
from services.common.db import Database
from services.common.ids import new_id
from services.common.members import FirstLogin
from services.common.outbox import NewMessage
from services.identity.events import EVENT_QUEUES, TOPIC
from services.identity.events.kinds import event_content, kind_name
from stack.testing import RunningStack, running_stack

ARRIVALS, PLACES = 20_000, 100
KILLED = ("promos", "identity-worker", "promos-worker")
_AT_ONCE = 500
_LOGINS = 40
_SECONDS = 900.0


async def arrive(identity_url: str, count: int) -> Sequence[UUID]:
    """Writes the first logins of so many members, each with a phone number of its own; returns who they are.

    The members exist nowhere else: promos alone is told.
    """
    members = [new_id() for _ in range(count)]
    database = Database(identity_url, pool_size=2)
    try:
        for start in range(0, count, _AT_ONCE):
            await database.run(
                outbox.put_all, [_first_login(member) for member in members[start : start + _AT_ONCE]]
            )
    finally:
        await database.close()
    return members


def _first_login(member: UUID) -> NewMessage:
    content = event_content(
        event_id=new_id(),
        kind=kind_name(FirstLogin),
        phone_hash=secrets.token_bytes(32),
        shares_contact=False,
    )
    return NewMessage(TOPIC, "promos", str(member), 2, content, EVENT_QUEUES["promos"])


def applied(promos_url: str, members: Sequence[UUID]) -> int:
    """Returns how many of these first logins promos has."""
    with psycopg.connect(promos_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM members WHERE member_id = ANY(%s) AND first_login_at IS NOT NULL",
            [list(members)],
        ).fetchone()
    assert found
    return int(found[0])


async def until_applied(promos_url: str, members: Sequence[UUID], count: int, seconds: float) -> None:
    """Waits until promos has so many of these first logins. Raises BenchError after so many seconds."""
    deadline = time.monotonic() + seconds
    while await asyncio.to_thread(applied, promos_url, members) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"promos has not {count} first logins after {seconds:g} s")
        await asyncio.sleep(0.2)


def ranks(promos_url: str, campaign_id: str) -> list[int]:
    """Returns the ranks of a campaign's winners."""
    with psycopg.connect(promos_url) as connection:
        found = connection.execute(
            "SELECT rank FROM winners WHERE campaign_id = %s ORDER BY rank", [campaign_id]
        ).fetchall()
    return [rank for (rank,) in found]


@dataclass(frozen=True)
class Logins:
    """What logins took, in milliseconds."""

    p50: float
    most: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f} ms, the slowest {self.most:.0f} ms"


async def measure_logins(http: httpx.AsyncClient, password: dict[str, str], count: int = _LOGINS) -> Logins:
    """Logs in one time after the other. Raises HTTPStatusError when a login is refused."""
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        (await http.post("/v1/sessions", json={"password": password})).raise_for_status()
        took.append((time.perf_counter() - begin) * 1_000)
    return Logins(median(took), max(took))


async def disturb(stack: RunningStack) -> None:
    """Kills promos and the workers, one after the other, and flushes Redis."""
    for name in KILLED:
        pid = stack.kill(name)
        async with Redis.from_url(stack.endpoints.redis_url) as redis:
            await redis.flushall()
        await asyncio.to_thread(stack.wait_restarted, name, pid)


async def measure(stack: RunningStack, *, arrivals: int, places: int, disturbed: bool) -> None:
    """Measures, checks and prints. Raises BenchError when others won than should."""
    endpoints = stack.endpoints
    promos = endpoints.databases["promos"]
    password = {"user_name": endpoints.admin_user_name, "password": endpoints.admin_password}
    async with httpx.AsyncClient(base_url=endpoints.edge_url, timeout=15) as http:
        alone = await measure_logins(http, password)
        session = (await http.post("/v1/sessions", json={"password": password})).json()
        headers = {"authorization": f"Bearer {session['token']['access_token']}"}
        wanted = {"name": "The first", "places": places, "benefit": {"percent_off": 30}}
        made = await http.post("/v1/campaigns", json=wanted, headers=headers)
        campaign = made.raise_for_status().json()["campaign"]["id"]
        members = await arrive(endpoints.databases["identity"], arrivals)
        begin = time.monotonic()
        waiting = asyncio.create_task(until_applied(promos, members, arrivals, _SECONDS))
        if disturbed:
            await until_applied(promos, members, arrivals // 10, _SECONDS)
            await disturb(stack)
        beside = await measure_logins(http, password)
        still = not waiting.done()
        await waiting
        took = time.monotonic() - begin
    won = ranks(promos, campaign)
    print(
        f"{arrivals:,} first logins, {places:,} places: {len(won):,} won; all applied after {took:.1f} s"
        f" ({arrivals / took:,.0f}/s)"
    )
    print(f"logins alone: {alone}; beside{'' if still else ' and after'}: {beside}")
    if won != list(range(1, min(places, arrivals) + 1)):
        raise BenchError("the winners are not ranked 1 to the last place")


def main() -> int:
    """Reads the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_logins", description=__doc__)
    parser.add_argument("--arrivals", type=int, default=ARRIVALS)
    parser.add_argument("--places", type=int, default=PLACES)
    parser.add_argument("--undisturbed", action="store_true", help="kill nothing, flush nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        config = Path(folder) / "edge.yaml"
        edge.write_generous(config)
        with running_stack(edge_config=config, env_identity=world.LIMITS) as stack:
            asyncio.run(
                measure(
                    stack,
                    arrivals=options.arrivals,
                    places=options.places,
                    disturbed=not options.undisturbed,
                )
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
