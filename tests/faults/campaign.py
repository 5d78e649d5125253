"""Faults under orders, drawn by a seed: `python -m tests.faults.campaign --seed 7 --minutes 30`.

Members order in every way there is, all the time, while one fault comes after the other. After each of them
every order must be definite within 60 s, and every book must agree.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests import invariants
from tests.faults.clients import Disturbed
from tests.faults.faults import ALL, Breakable, Fault, breakable_stack
from tests.faults.shop import Buyer, Shop, Wish, open_shop, wish_of
from tests.platform import Platform, at_once, eventually, limited

MEMBERS, SHOPPERS = 24, 32
DEFINITE_SECONDS = 60.0
MOST_WISHES = 5_000
REPEATED_AT_ONCE = 20
# Of an order that waits for its member the provider has nothing, or waits for the member too.
_INDEFINITE = """
SELECT o.id, o.state, p.state AS payment, s.state AS at_provider, o.deadline_at, o.steps
FROM orders o LEFT JOIN payments p ON p.id = o.id LEFT JOIN sandbox_payments s ON s.id = o.id
WHERE o.placed_at < '{before}' AND (
  o.state IN ('PENDING', 'UNDOING', 'REFUNDING')
  OR (o.state = 'AWAITING_PAYMENT' AND coalesce(s.state, 'ACTION_REQUIRED') <> 'ACTION_REQUIRED')
)
"""


@dataclass
class Told:
    """What came of a campaign."""

    ends: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    definite_after: dict[str, float] = field(default_factory=dict)
    """The longest time that it took after each kind of fault."""


class Campaign:
    """Orders under faults."""

    def __init__(self, broken: Breakable, shop: Shop, seed: int) -> None:
        self.told = Told()
        self._broken = broken
        self._live = broken.live
        self._shop = shop
        self._chance = random.Random(seed)

    async def run(self, faults: Iterable[Fault]) -> Told:
        """Has one fault after the other. Raises AssertionError when an order is lost, or a book is wrong."""
        for fault in faults:
            await self._under(fault)
        await self._live.at_rest(DEFINITE_SECONDS)
        await asyncio.to_thread(invariants.check, self._live.databases)
        return self.told

    async def _under(self, fault: Fault) -> None:
        seen, wishes, over = Disturbed(), list[Wish](), asyncio.Event()
        shopping: asyncio.Future[Any] = asyncio.gather(
            *(self._shop_until(over, wishes, seen) for _ in range(SHOPPERS))
        )
        breaking: asyncio.Future[Any] = asyncio.ensure_future(fault(self._broken, self._chance))
        await asyncio.wait([shopping, breaking], return_when=asyncio.FIRST_COMPLETED)
        over.set()
        await breaking
        definite = asyncio.create_task(self._until_definite(fault))
        await shopping
        # Those who went away come back.
        await at_once([Buyer(self._live, wish, seen).go_on() for wish in wishes if not wish.done])
        await definite
        await self._same_again(wishes, seen)
        self.told.unanswered += seen.unanswered

    async def _shop_until(self, over: asyncio.Event, wishes: list[Wish], seen: Disturbed) -> None:
        for _ in range(MOST_WISHES):
            if over.is_set():
                return
            wish = wish_of(self._shop, self._chance)
            wishes.append(wish)
            await Buyer(self._live, wish, seen).buy()

    async def _until_definite(self, fault: Fault) -> None:
        """Everything is back: waits until that can be seen of every order that was placed before."""
        began, query = time.monotonic(), _INDEFINITE.format(before=datetime.now(UTC).isoformat())

        async def all_definite() -> None:
            try:
                found = await asyncio.to_thread(invariants.rows, self._live.databases["vouchers"], query)
            except psycopg.OperationalError as error:  # PostgreSQL runs again, and does not serve yet
                raise AssertionError(fault) from error
            assert found == [], fault

        await eventually(all_definite, DEFINITE_SECONDS)
        took = self.told.definite_after.get(fault.__name__, 0.0)
        self.told.definite_after[fault.__name__] = max(took, time.monotonic() - began)

    async def _same_again(self, wishes: list[Wish], seen: Disturbed) -> None:
        """Calls again with the same keys get the same orders; those that were not paid are cancelled."""
        buyers = [Buyer(self._live, wish, seen) for wish in wishes]
        heard = await limited(REPEATED_AT_ONCE, [buyer.look for buyer in buyers])
        self.told.ends.update(end for _, end in heard)
        kept = {
            str(row["id"]): row
            for row in invariants.rows(
                self._live.databases["vouchers"], "SELECT id, state, failure_reason FROM orders"
            )
        }
        for order_id, end in heard:
            if order_id:
                row = kept[order_id]
                assert end in (row["state"], row["failure_reason"]), (end, row)
        left = [buyer for buyer, wish in zip(buyers, wishes, strict=True) if wish.state == "AWAITING_PAYMENT"]
        await limited(REPEATED_AT_ONCE, [buyer.cancel for buyer in left])
        await eventually(self._books_agree, DEFINITE_SECONDS)

    async def _books_agree(self) -> None:
        await asyncio.to_thread(invariants.check, self._live.databases)


async def run_campaign(broken: Breakable, seed: int, faults: Iterable[Fault]) -> Told:
    """Runs a campaign in a new shop of the platform."""
    shop = await open_shop(broken.live, await broken.live.till(), MEMBERS)
    return await Campaign(broken, shop, seed).run(faults)


def _until(minutes: float, seed: int) -> Iterable[Fault]:
    """Faults in an order that the seed draws, for so long; each of them at least once."""
    ends, chance = time.monotonic() + 60 * minutes, random.Random(seed)
    while True:
        for fault in chance.sample(ALL, len(ALL)):
            _say(f"{fault.__name__}: {fault.__doc__}")
            yield fault
        if time.monotonic() > ends:
            return


async def _run(seed: int, minutes: float) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="scrip-") as folder,
        breakable_stack(Path(folder)) as (stack, hops),
    ):
        async with Platform(stack) as live:
            told = await run_campaign(Breakable(live, hops), seed, _until(minutes, seed))
    _say(f"{sum(told.ends.values())} orders, {told.unanswered} calls without a response")
    for end, count in sorted(told.ends.items()):
        _say(f"  {end:24} {count}")
    for name, seconds in told.definite_after.items():
        _say(f"  all definite after {name:18} {seconds:.1f} s at most")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="draws orders and faults (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(_run(options.seed, options.minutes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
