"""A flash sale: `python -m bench.flash_sale` sells 1,000 pieces to 5,000 members, who come at once.

64 clients place an order for each member. Exactly 1,000 must get a piece. Then it is measured how many a
second are told that it is sold out, and in both parts what reading a balance takes meanwhile and idle.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg

from bench import edge, world
from bench.children import BenchError
from bench.cpu import snapshot
from bench.loader import Plan, Result
from bench.measure import load
from bench.report import machine
from bench.rig import BENCH, codes_made, stack_pids
from bench.wire import FLASH_SALE, GET_BALANCE, SOLD_OUT
from bench.world import World
from stack.rest import Rest, item, receipt
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack

PIECES, MEMBERS, CLIENTS = 1_000, 5_000, 64
WARM_UP, SECONDS, MOST_SECONDS = 1.0, 5.0, 600.0
READERS = 4
"""Clients that read balances meanwhile."""
SOLD_OUT_PER_SECOND, P99_TIMES = 1_500, 5.0
"""What is to be reached on a calm machine."""
_RECEIPTS_IN_A_CALL = 500
_ENDED = "SELECT count(*) FROM orders WHERE state IN ('PENDING', 'UNDOING')"
_SOLD = """
SELECT (SELECT sum(issued) FROM vouchers), (SELECT count(DISTINCT member_id) FROM wallet_vouchers),
  (SELECT count(*) FROM wallet_vouchers)
"""


@dataclass(frozen=True)
class Part:
    """What the crowd got, and what reading a balance took meanwhile."""

    crowd: Result
    balance: Result
    took: float
    cpu_us: float
    """CPU time per request, of whichever of the two, in all."""


async def give_points(base_url: str, made: World) -> None:
    """Gives each member enough for one piece, by one receipt."""
    now = datetime.now(UTC).isoformat()
    line = item("100", "Opening balance", world.PRICE_POINTS * 1_000)
    async with Rest(base_url) as rest:
        for first in range(0, len(made.members), _RECEIPTS_IN_A_CALL):
            some = made.members[first : first + _RECEIPTS_IN_A_CALL]
            bought = [receipt(member.code, f"opening-{member.id}", now, line) for member in some]
            await rest.ok("POST", "/v1/purchases:batch", {"purchases": bought}, token=made.tills[0])


class Sale:
    """A stack with its world, and the load on it."""

    def __init__(self, stack: RunningStack, world_file: Path) -> None:
        port = int(stack.endpoints.edge_url.rpartition(":")[2])
        self._pids = {name: pid for name, pid in stack_pids(stack).items() if name != BENCH}
        self._database = stack.endpoints.databases["vouchers"]
        self._plan = partial(Plan, world=str(world_file), port=port)

    async def send(self, scenario: str, *, clients: int, warm_up: float, seconds: float) -> Result:
        """Returns what a load generator of its own gets."""
        run = secrets.token_hex(4)
        plan = self._plan(scenario=scenario, run=run, clients=clients, warm_up=warm_up, seconds=seconds)
        return await asyncio.to_thread(load, plan, "bench.loader")

    async def idle(self) -> Result:
        """Returns what reading balances takes when nobody orders."""
        return await self.send(GET_BALANCE, clients=READERS, warm_up=WARM_UP, seconds=SECONDS)

    async def part(self, scenario: str, *, warm_up: float, seconds: float) -> Part:
        """Sends the crowd, and reads balances beside it."""
        begin, before = time.monotonic(), snapshot(self._pids)
        beside = asyncio.create_task(self.idle())
        crowd = await self.send(scenario, clients=CLIENTS, warm_up=warm_up, seconds=seconds)
        took = time.monotonic() - begin
        balance = await beside
        used = sum(snapshot(self._pids).since(before).processes.values())
        requests = sum(one.answered + sum(one.errors.values()) for one in (crowd, balance))
        return Part(crowd, balance, took, used / max(1, requests) * 1e6)

    def sold(self) -> tuple[int, int, int]:
        """Returns how many pieces are taken, how many members own one, and how many are owned."""
        with psycopg.connect(self._database, autocommit=True) as connection:
            deadline = time.monotonic() + MOST_SECONDS
            while (connection.execute(_ENDED).fetchone() or (0,))[0]:
                if time.monotonic() > deadline:
                    raise BenchError("some orders do not end")
                time.sleep(0.2)
            found = connection.execute(_SOLD).fetchone()
        assert found
        return int(found[0]), int(found[1]), int(found[2])


async def measure(stack: RunningStack, folder: Path, *, pieces: int, members: int) -> None:
    """Measures, checks and prints. Raises BenchError when more or fewer were sold than there were."""
    found = stack.endpoints
    made = await world.create(
        found.edge_url, found.admin_user_name, found.admin_password, stock=pieces, members=members
    )
    made.write(folder / "world.json")
    await give_points(found.edge_url, made)
    await asyncio.to_thread(codes_made, found.databases["promos"], consents=0)
    sale = Sale(stack, folder / "world.json")
    idle = await sale.idle()
    sold = await sale.part(FLASH_SALE, warm_up=0.0, seconds=MOST_SECONDS)
    counted = await asyncio.to_thread(sale.sold)
    after = await sale.part(SOLD_OUT, warm_up=WARM_UP, seconds=SECONDS)
    expected = min(pieces, members)
    print(f"{machine()}; {members:,} members, {pieces:,} pieces, {CLIENTS} clients")
    print(
        f"sold {counted[0]:,} to {counted[1]:,} members in {sold.took:.1f} s"
        f" ({members / sold.took:,.0f} orders/s); other answers: {sold.crowd.errors};"
        f" {sold.cpu_us:,.0f} us of CPU a request, balances included"
    )
    print(
        f"sold out: {after.crowd.per_second:,.0f} answers/s ({SOLD_OUT_PER_SECOND:,} wanted), p99"
        f" {after.crowd.p99_ms:.1f} ms; others: {after.crowd.errors};"
        f" {after.cpu_us:,.0f} us of CPU a request, balances included"
    )
    for name, part in (("in the sale", sold), ("after it", after)):
        times = part.balance.p99_ms / max(0.001, idle.p99_ms)
        print(
            f"GetBalance p99: {idle.p99_ms:.1f} ms idle, {part.balance.p99_ms:.1f} ms {name}:"
            f" {times:.1f} times (at most {P99_TIMES:g} wanted)"
        )
    if counted != (expected,) * 3 or await asyncio.to_thread(sale.sold) != counted:
        raise BenchError(f"{expected:,} should have been sold: {counted}")


def main() -> int:
    """Reads the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.flash_sale", description=__doc__)
    parser.add_argument("--pieces", type=int, default=PIECES)
    parser.add_argument("--members", type=int, default=MEMBERS)
    options = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="flash-", dir=ROOT / "build") as name:
        folder = Path(name)
        config = folder / "edge.yaml"
        edge.write_generous(config)
        with running_stack(folder / "data", edge_config=config, env_identity=world.LIMITS) as stack:
            asyncio.run(measure(stack, folder, pieces=options.pieces, members=options.members))
    return 0


if __name__ == "__main__":
    sys.exit(main())
