"""A day is replayed: `python -m bench.replay` sends it in batches, and kills points twice on the way.

Some receipts come twice, all in no order. Every sale must count once, whatever happens; how long it takes
and how much memory points needs at most is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench import edge, wire, world
from bench.children import BenchError
from services.points.books.queries import unbalanced_members
from services.points.parts import open_database
from services.points.settings import Settings
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack

SALES, DUPLICATES = 100_000, 0.2
BATCH, AT_ONCE = 1_000, 4
KILLED_AFTER = (0.3, 0.7)
MOST_MEMORY = 250 << 20
TRIES, WAIT_SECONDS = 60, 0.5

Kill = Callable[[], Awaitable[None]]


@dataclass
class Day:
    """What is sent, and what came back."""

    receipts: Sequence[dict[str, Any]]
    """Those that come twice are in it twice."""
    purchases: dict[str, str] = field(default_factory=dict)
    """Id of the purchase that each receipt became."""
    answered: int = 0
    unanswered: int = 0
    """Batches that had to be sent again."""

    @property
    def sales(self) -> int:
        """Receipts, each counted once."""
        return len({receipt["receipt_number"] for receipt in self.receipts})


def day_of(codes: Sequence[str], run: str, sales: int = SALES) -> Day:
    """Returns a day's receipts of members with these codes, a part of them twice, in no order."""
    lots, now = random.Random(run), datetime.now(UTC).isoformat()
    receipts = [
        wire.receipt_of(lots.choice(codes), f"{run}-{number:08d}", now, lots) for number in range(sales)
    ]
    receipts += lots.sample(receipts, round(sales * DUPLICATES))
    lots.shuffle(receipts)
    return Day(receipts)


async def replay(http: httpx.AsyncClient, token: str, day: Day, kill: Kill, *, batch: int = BATCH) -> None:
    """Sends the whole day, several batches at a time; `kill` is called on the way.

    Raises BenchError when a receipt is refused, or gets two results.
    """
    batches = [day.receipts[at : at + batch] for at in range(0, len(day.receipts), batch)]
    kills = [round(part * len(batches)) for part in KILLED_AFTER]
    slots = asyncio.Semaphore(AT_ONCE)
    killing: list[asyncio.Task[None]] = []

    async def send(purchases: Sequence[dict[str, Any]]) -> None:
        async with slots:
            results = await _answered(http, token, day, purchases)
        for receipt, result in zip(purchases, results, strict=True):
            number = receipt["receipt_number"]
            found = result["recorded"]["purchase"]["id"] if "recorded" in result else str(result)
            if day.purchases.setdefault(number, found) != found or "recorded" not in result:
                raise BenchError(f"receipt {number} was answered with {day.purchases[number]} and {found}")
        day.answered += 1
        if day.answered in kills:
            killing.append(asyncio.ensure_future(kill()))

    await asyncio.gather(*map(send, batches))
    await asyncio.gather(*killing)


async def _answered(
    http: httpx.AsyncClient, token: str, day: Day, purchases: Sequence[dict[str, Any]]
) -> list[Any]:
    """Returns the results of a batch, which is sent again until there are some."""
    headers = {"authorization": f"Bearer {token}"}
    for _ in range(TRIES):
        try:
            answer = await http.post("/v1/purchases:batch", json={"purchases": purchases}, headers=headers)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == httpx.codes.OK:
            results: list[Any] = answer.json()["results"]
            if not any(_try_again(result) for result in results):
                return results
        elif answer is not None and answer.status_code not in (
            httpx.codes.SERVICE_UNAVAILABLE,
            httpx.codes.TOO_MANY_REQUESTS,
        ):
            raise BenchError(f"a batch was refused: {answer.status_code} {answer.text[:500]}")
        day.unanswered += 1
        await asyncio.sleep(WAIT_SECONDS)
    raise BenchError(f"no answer to any of {TRIES} tries")


def _try_again(result: dict[str, Any]) -> bool:
    details = result.get("refused", {}).get("details", [])
    return any(detail.get("reason") == "DEPENDENCY_UNAVAILABLE" for detail in details)


class Memory:
    """The most memory that a process of this name had, those that were killed included."""

    def __init__(self, stack: RunningStack, name: str) -> None:
        self._stack = stack
        self._name = name
        self.most = 0

    async def watch(self) -> None:
        """Looks again and again. Runs until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(0.1)

    def look(self) -> None:
        """Looks once."""
        pid = self._stack.pid(self._name)
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return
        kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
        self.most = max(self.most, kilobytes << 10)


def check_counted_once(database: str, day: Day) -> None:
    """Raises BenchError unless each sale became one purchase, the one returned, and credited once."""
    numbers = list(day.purchases)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT p.receipt_number, p.id::text, p.points = coalesce(sum(e.delta), 0), count(*)"
            " FROM purchases p LEFT JOIN ledger_entries e"
            " ON e.member_id = p.member_id AND e.kind = 'EARN' AND e.reference = p.id::text"
            " WHERE p.receipt_number = ANY(%s) GROUP BY p.member_id, p.id",
            [numbers],
        ).fetchall()
    if len(numbers) != day.sales or {number: found for number, found, _, _ in rows} != day.purchases:
        raise BenchError(f"{day.sales} sales, {len(numbers)} answers, {len(rows)} purchases")
    if len(rows) != day.sales or not all(right and count == 1 for _, _, right, count in rows):
        raise BenchError("a purchase stands there twice, or was not credited once")


async def _run(stack: RunningStack, sales: int) -> None:
    found, memory = stack.endpoints, Memory(stack, stack.endpoints.processes["points"][0])
    made = await world.create(found.edge_url, found.admin_user_name, found.admin_password, stock=1)
    day = day_of([member.code for member in made.members], "day", sales)

    async def kill() -> None:
        memory.look()
        pid = stack.kill(found.processes["points"][0])
        await asyncio.to_thread(stack.wait_restarted, found.processes["points"][0], pid)

    watching = asyncio.ensure_future(memory.watch())
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=found.edge_url, timeout=30.0) as http:
        await replay(http, made.tills[0], day, kill)
    lasted = time.monotonic() - began
    watching.cancel()
    check_counted_once(found.databases["points"], day)
    settings = Settings.model_construct(database_url=found.databases["points"], database_pool_size=1)
    database = open_database(settings)
    wrong = await database.read(unbalanced_members)
    await database.close()
    if wrong:
        raise BenchError(f"the books of {len(wrong)} members do not agree")
    print(
        f"{day.sales:,} sales and {len(day.receipts) - day.sales:,} duplicates in {lasted:.1f} s"
        f" ({len(day.receipts) / lasted:,.0f} receipts/s), points killed {len(KILLED_AFTER)} times,"
        f" {day.unanswered} batches sent again; every sale counted once, the books agree;"
        f" points had {memory.most / 2**20:.0f} MiB at most"
        f" ({'within' if memory.most < MOST_MEMORY else 'MORE THAN'} {MOST_MEMORY >> 20} MiB)"
    )


def main() -> None:
    """Replays a day on a stack of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description="Replays a day of receipts.")
    parser.add_argument("--sales", type=int, default=SALES, help=f"receipts, {SALES:,} by default")
    options = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=ROOT / "build") as folder:
        generous = Path(folder) / "envoy.yaml"
        edge.write_generous(generous)
        with running_stack(Path(folder) / "stack", edge_config=generous, env_identity=world.LIMITS) as stack:
            try:
                asyncio.run(_run(stack, options.sales))
            except BenchError as error:
                print(f"replay: {error}", file=sys.stderr)
                raise SystemExit(1) from None


if __name__ == "__main__":
    main()
