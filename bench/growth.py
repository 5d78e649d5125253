"""What ten million rows change: `python -m bench.growth` measures a full points beside an empty one.

Two stacks run side by side and are measured in turns. In the one, many members have a long ledger with
purchases, receipts and lots; in the other there is but one such member, whose history is read in both. With
`--codes` it is codes that the one has many of, and redeeming that is measured; with `--orders` it is orders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import psycopg

from bench import codes, edge, orders, world
from bench.children import BenchError
from bench.cpu import snapshot
from bench.loader import Plan, Result
from bench.measure import load
from bench.report import machine
from bench.rig import codes_made
from bench.wire import ENTRIES, PLACE_ORDER, RECORD_PURCHASE, REDEEM_CODE
from bench.world import World
from services.common.ids import new_id
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack

ROWS, OF_EACH = 10_000_000, 500
READERS_ROWS, PAGE = 50_050, 50
FAR_PAGE = 1_000
CLIENTS, ROUNDS, WARM_UP, SECONDS = 16, 5, 1.0, 3.0
ALLOWED = 0.10
_AT_ONCE = 500_000
STOCK = 200_000
"""Pieces that can be ordered where orders are measured."""
ENTRIES_PATH = f"/v1/members/me/points/entries?page_size={PAGE}"

# The rows that so many purchases of 5 points would leave behind, each with one line. The first statement
# makes them up, the others put them where they belong.
_MEMBERS = "CREATE TABLE bench_members (n int PRIMARY KEY, member_id uuid NOT NULL, rows int NOT NULL)"
_GIVEN = """
CREATE TEMP TABLE given AS
SELECT m.n, m.member_id, s, md5(m.member_id::text || s)::uuid AS id,
  now() - interval '2 years' + s * interval '1 hour' AS at
FROM bench_members m, generate_series(1, m.rows) AS s WHERE m.n >= %(first)s AND m.n < %(end)s
"""
_FILL = """
INSERT INTO accounts (member_id, balance, version, purchases)
  SELECT member_id, 5 * count(*), count(*), count(*) FROM given GROUP BY member_id;
INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference, occurred_at)
  SELECT member_id, s, 'EARN', 5, 5 * s, id::text, at FROM given;
INSERT INTO lots (member_id, id, earned, remaining) SELECT member_id, s, 5, 5 FROM given;
INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,
    currency_code, total_minor, eligible_minor, points, balance_after, client_id, rule_set_id, lot_id)
  SELECT member_id, id, s, n || '-' || s, '', at, at, 'USD', 5000, 5000, 5, 5 * s,
    '00000000-0000-7000-8000-000000000000', 1, s FROM given;
INSERT INTO receipts (client_id, till_number, receipt_number, fingerprint, member_id, purchase_id)
  SELECT '00000000-0000-7000-8000-000000000000', '', n || '-' || s, decode(md5(s::text), 'hex'), member_id, id
  FROM given;
INSERT INTO purchase_items
    (member_id, purchase_id, line, sku, name, category, unit_price_minor, quantity, alcohol)
  SELECT member_id, id, 1, '4011', 'Bananas', 'fruit', 5000, 1, false FROM given;
DROP TABLE given;
"""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    stack: RunningStack
    world: World
    world_file: Path

    @property
    def port(self) -> int:
        """The port of REST."""
        return int(self.stack.endpoints.edge_url.rpartition(":")[2])

    def pids(self) -> Mapping[str, int]:
        """Returns the processes that serve."""
        processes = self.stack.endpoints.processes
        of_services = (*processes["points"], *processes["promos"], *processes["vouchers"])
        names = ("envoy", "postgres", "redis", *of_services)
        return {name: pid for name in names if (pid := self.stack.pid(name)) is not None}


def _say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {words}", file=sys.stderr, flush=True)


def fill(url: str, made: World, rows: int) -> None:
    """Gives the first member a long history, and others so many rows in all."""
    members = [(0, made.members[0].id, READERS_ROWS)]
    members += [(number, member.id, OF_EACH) for number, member in enumerate(made.members[1:], 1)]
    if not rows:
        del members[1:]
    while len(members) < rows // OF_EACH:
        members.append((len(members), str(new_id()), OF_EACH))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(_MEMBERS)
        with connection.cursor().copy("COPY bench_members (n, member_id, rows) FROM STDIN") as copy:
            for member in members:
                copy.write_row(member)
        step = _AT_ONCE // OF_EACH
        for first in range(0, len(members), step):
            connection.execute(_GIVEN, {"first": first, "end": first + step})
            connection.execute(_FILL)
            _say(f"  {min(len(members), first + step):,} of {len(members):,} members have their history")
        connection.execute("DROP TABLE bench_members")
        connection.execute("VACUUM ANALYZE")


async def far_page(side: Side) -> str:
    """Returns the path of the thousandth page of the first member's history."""
    token, path = side.world.members[0].token, ENTRIES_PATH
    async with httpx.AsyncClient(base_url=side.stack.endpoints.edge_url, timeout=30.0) as http:
        for _ in range(FAR_PAGE - 1):
            answer = await http.get(path, headers={"authorization": f"Bearer {token}"})
            path = f"{ENTRIES_PATH}&page_token={answer.raise_for_status().json()['next_page_token']}"
    return path


def measure(side: Side, scenario: str, path: str) -> tuple[Result, float]:
    """Makes one run; returns its result, and the CPU time per request in microseconds in all."""
    plan = Plan(
        world=str(side.world_file),
        scenario=scenario,
        port=side.port,
        run=secrets.token_hex(4),
        clients=CLIENTS,
        warm_up=WARM_UP,
        seconds=SECONDS,
        path=path,
    )
    pids = side.pids()
    before = snapshot(pids)
    result = load(plan, "bench.loader")
    used = snapshot(pids).since(before)
    if result.errors:
        raise BenchError(f"{side.name}: {result.errors} {result.samples}")
    return result, sum(used.processes.values()) / max(1, result.answered) * 1e6


def of_points(empty: Side, grown: Side) -> dict[str, dict[str, str]]:
    """Returns what is measured of points, and the path that each side reads."""
    _say("looking for the thousandth page")
    far = {side.name: asyncio.run(far_page(side)) for side in (empty, grown)}
    return {
        RECORD_PURCHASE: {"empty": "", "grown": ""},
        "history, first page": {"empty": ENTRIES_PATH, "grown": ENTRIES_PATH},
        "history, thousandth page": far,
    }


def compare(empty: Side, grown: Side, paths: dict[str, dict[str, str]], what: str) -> None:
    """Measures both in turns and prints what the rows change."""
    print(f"{machine()}; {what} beside an empty table, {CLIENTS} clients, medians of {ROUNDS}")
    print(
        f"{'':26}{'empty, per s':>14}{'grown, per s':>14}{'empty, CPU us':>15}{'grown, CPU us':>15}{'CPU':>8}"
    )
    entries = []
    for name, of_side in paths.items():
        found: dict[str, list[tuple[Result, float]]] = {"empty": [], "grown": []}
        for number in range(ROUNDS):
            for side in (empty, grown):
                scenario = name if name in {RECORD_PURCHASE, REDEEM_CODE, PLACE_ORDER} else ENTRIES
                found[side.name].append(measure(side, scenario, of_side[side.name]))
            _say(f"{name}, round {number + 1}")
        rates = {side: median(result.per_second for result, _ in runs) for side, runs in found.items()}
        cpu = {side: median(used for _, used in runs) for side, runs in found.items()}
        more = cpu["grown"] / cpu["empty"] - 1
        told = "within 10 %" if more <= ALLOWED else "MORE THAN 10 %"
        print(
            f"{name:26}{rates['empty']:>14,.0f}{rates['grown']:>8,.0f}"
            f"{cpu['empty']:>15,.0f}{cpu['grown']:>8,.0f}{more:>+8.1%}  {told}",
            flush=True,
        )
        entries.append({"what": name, "per_second": rates, "cpu_us": cpu})
    (ROOT / "build" / "growth.json").write_text(json.dumps({"rows": what, "found": entries}, indent=2) + "\n")


def main() -> None:
    """Runs both stacks, fills one, and compares."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Measures what rows change.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the ledger, {ROWS:,} by default")
    parser.add_argument("--codes", type=int, default=0, help="so many codes instead of ledger rows")
    parser.add_argument("--orders", type=int, default=0, help="so many orders instead of ledger rows")
    options = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=ROOT / "build") as folder, ExitStack() as opened:
        generous = Path(folder) / "envoy.yaml"
        edge.write_generous(generous)
        sides = []
        for name, of_all in (("empty", 0), ("grown", 1)):
            _say(f"starting the stack that is {name}")
            data = Path(folder) / name
            stack = opened.enter_context(running_stack(data, edge_config=generous, env_identity=world.LIMITS))
            found = stack.endpoints
            stock = STOCK if options.orders else 1
            made = asyncio.run(
                world.create(found.edge_url, found.admin_user_name, found.admin_password, stock=stock)
            )
            made.write(data / "world.json")
            if options.orders:
                asyncio.run(world.give_points(found.edge_url, made))
                codes_made(found.databases["promos"], consents=0)
                orders.fill(found.databases["vouchers"], made, of_all * options.orders)
            elif options.codes:
                codes.create(found.databases["promos"], made, others=of_all * options.codes)
            else:
                fill(found.databases["points"], made, of_all * options.rows)
            sides.append(Side(name, stack, made, data / "world.json"))
        empty, grown = sides
        if options.codes:
            paths = {REDEEM_CODE: {"empty": "", "grown": ""}}
            compare(empty, grown, paths, f"{options.codes:,} codes")
        elif options.orders:
            compare(empty, grown, {PLACE_ORDER: {"empty": "", "grown": ""}}, f"{options.orders:,} orders")
        else:
            compare(empty, grown, of_points(empty, grown), f"{options.rows:,} ledger rows")


if __name__ == "__main__":
    main()
