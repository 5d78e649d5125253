"""`python -m bench`: measures Scrip beside its peers, prints the table, writes build/bench.json."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import books, logins, same_job
from bench.children import BenchError
from bench.cpu import strangers
from bench.measure import REPEATS, Effort, Patience, Say, measure, worst
from bench.report import machine, table, verdict, write
from bench.rig import rig
from bench.wire import (
    BATCH,
    CLAIM_CODE,
    GET_BALANCE,
    GET_OFFER,
    HOT_MEMBER,
    LIST_OFFERS,
    PLACE_ORDER,
    QUOTE_BASKET,
    RECORD_PURCHASE,
    REDEEM_CODE,
    SCENARIOS,
    STREAM,
    STREAM_OF_ONES,
    WITHOUT_REDIS,
)
from bench.world import MEMBERS
from stack.errors import StackError
from stack.rest import RefusedError
from stack.settings import ROOT

RESULT = ROOT / "build" / "bench.json"
MOST_ORDERS_PER_SECOND = 1_000
MOST_STOCK = 5_000_000
MOST_CLAIMS_PER_SECOND = 4_000
MOST_CLIENTS = 1_000
LOGINS = "Logins"
"""Verifying tokens, GetMe, and what logins do to it."""
IN_TURN = (
    GET_BALANCE,
    WITHOUT_REDIS,
    LIST_OFFERS,
    GET_OFFER,
    QUOTE_BASKET,
    REDEEM_CODE,
    PLACE_ORDER,
    CLAIM_CODE,
    RECORD_PURCHASE,
    HOT_MEMBER,
    BATCH,
    STREAM,
    STREAM_OF_ONES,
)
"""Orders come before purchases, which leave many small lots behind, more than a member usually has."""


def main() -> None:
    """Reads the command line and measures. Ends with status 1 when there were errors or missing effects."""
    options = _parse()
    effort = (
        Effort(1, 0.5, 1.5) if options.quick else Effort(options.rounds, options.warm_up, options.seconds)
    )
    began = time.monotonic()
    # So that what was started is stopped, and the temporary folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {words}", file=sys.stderr, flush=True)

    try:
        errors = _measure(options, effort, say)
    except (BenchError, StackError, RefusedError) as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(1 if errors else 0)


def _measure(options: argparse.Namespace, effort: Effort, say: Say) -> int:
    scenarios = options.scenario or (*SCENARIOS, LOGINS)
    runs = (effort.rounds + REPEATS) * len(options.clients)
    stock = min(MOST_STOCK, math.ceil(runs * (effort.warm_up + effort.seconds) * MOST_ORDERS_PER_SECOND))
    claims = math.ceil((effort.warm_up + effort.seconds) * MOST_CLAIMS_PER_SECOND / MEMBERS)
    turns = runs if CLAIM_CODE in scenarios else 0
    catalogue = not {LIST_OFFERS, GET_OFFER}.isdisjoint(scenarios)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    # Below build/, which is on the disk that people keep data on; a temporary folder may be in memory.
    (ROOT / "build").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder,
        rig(Path(folder), stock=stock, claimed=(turns, claims), catalogue=catalogue, say=say) as running,
    ):
        same_job.check(running)
        patience = Patience(options.patience, partial(strangers, running.pids))
        measured = [
            measure(running, scenario, clients, effort=effort, patience=patience, say=say)
            for scenario in IN_TURN
            if scenario in scenarios
            for clients in options.clients
        ]
        about_logins = logins.measure(running, effort, say) if LOGINS in scenarios else None
        say("checking every ledger")
        books.check_ledgers(running.databases)
        server = running.server
    measured.sort(key=lambda found: [SCENARIOS.index(one.scenario) for one in found.values()])
    others = worst(one for found in measured for one in found.values())
    print(f"{machine()}, {server}")
    print(
        f"{started}, {effort.rounds} rounds of {effort.seconds:g} s after {effort.warm_up:g} s of warm-up,"
        f" medians; others used {others:.2f} cores in the worst run"
    )
    if measured:
        print(f"{table(measured)}\n\n{verdict(measured)}")
    if about_logins:
        print("\n".join(about_logins.lines()))
    about = {"started": started, "machine": machine(), "server": server, "seconds": effort.seconds}
    about |= {"rounds": effort.rounds, "load_average": os.getloadavg()[0]}
    write(RESULT, measured, about_logins.entries() if about_logins else [], about)
    print(f"written to {RESULT.relative_to(ROOT)}")
    errors = sum(one.errors for found in measured for one in found.values())
    return errors + (about_logins.errors if about_logins else 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Scrip beside its peers.")
    parser.add_argument(
        "--scenario", action="append", choices=(*SCENARIOS, LOGINS), help="only this one; may be repeated"
    )
    parser.add_argument(
        "--clients", type=_numbers, default=[64], metavar="N[,N...]", help="connections, 64 by default"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, 6 by default")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before it, 2 by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, 3 by default")
    parser.add_argument(
        "--patience", type=float, default=75.0, help="seconds to wait for a calm machine, 75 by default"
    )
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if not all(1 <= number <= MOST_CLIENTS for number in numbers):
        raise argparse.ArgumentTypeError(f"each must lie between 1 and {MOST_CLIENTS}")
    return numbers


if __name__ == "__main__":
    main()
