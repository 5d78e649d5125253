"""Processes are killed while orders stand at each step that calls points or promos, there and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from tests import invariants
from tests.faults.campaign import DEFINITE_SECONDS
from tests.faults.clients import Disturbed
from tests.faults.faults import Breakable
from tests.faults.hop import Weather
from tests.faults.shop import ASKS, GOOD, Buyer, Shop, Wish, open_shop
from tests.platform import Platform, at_once, eventually, unique

CARD = {"expiry_month": 12, "expiry_year": 2050, "cvc": "123"}
REACHED_SECONDS = 20.0
UNHEARD, UNANSWERED = Weather(loses_requests=True), Weather(loses_replies=True)
"""Nothing was done, or all was done, and who asked does not know."""
# What is there of an order, in the databases of all.
_OF_ORDERS: Mapping[str, tuple[str, str]] = {
    "order": ("vouchers", "SELECT id AS order_id, state FROM orders"),
    "payment": ("vouchers", "SELECT id AS order_id, state FROM payments"),
    "debit": ("points", "SELECT order_id, state FROM debits"),
    "promo code": ("promos", "SELECT order_id, state FROM redeemed_orders"),
    "code": ("promos", "SELECT order_id, state FROM codes WHERE order_id IS NOT NULL"),
}
_END_OF_STATE = {"PENDING": "COMPLETED", "REFUNDING": "REFUNDED", "UNDOING": "ORDER_CANCELLED"}
State = dict[str, str]


@pytest_asyncio.fixture(scope="module")
async def shop(live: Platform, till: str) -> Shop:
    return await open_shop(live, till, 2)


class Steps:
    """Orders that are brought to steps, and stay there as long as nobody hears or replies."""

    def __init__(self, broken: Breakable, shop: Shop) -> None:
        self.shop = shop
        self.wishes: dict[str, Wish] = {}
        self._live = broken.live
        self._seen = Disturbed()
        self._under_way: list[asyncio.Task[None]] = []

    def wish(self, name: str, what: str, *, card: str = GOOD, promo_code: str = "") -> Buyer:
        """Returns who buys it, and leaves it then as it is."""
        member, friend = self.shop.members
        body: dict[str, Any] = {"voucher_id": self.shop.vouchers[what], "quantity": 2}
        body |= {"payment_method_id": self.shop.method_id, "card": {"number": card} | CARD}
        self.wishes[name] = Wish(member, body, unique(), "leaves", friend, promo_code)
        return self.buyer(name)

    def buyer(self, name: str, ending: str = "leaves") -> Buyer:
        """Returns who goes on with an order."""
        self.wishes[name].ending = ending
        return Buyer(self._live, self.wishes[name], self._seen)

    def begin(self, doing: Coroutine[Any, Any, None]) -> None:
        """Does something that will take as long as nobody hears or replies."""
        self._under_way.append(asyncio.create_task(doing))

    async def reach(self, reached: Mapping[str, State]) -> None:
        """Waits until there is of each of these orders what is expected, and nothing else."""

        async def there() -> None:
            ids = await self._placed(list(reached))
            found = await asyncio.to_thread(_found, self._live.databases, list(ids.values()))
            assert {name: found[ids[name]] for name in ids} == reached

        await eventually(there, REACHED_SECONDS)

    async def ended(self) -> dict[str, str]:
        """Returns how each order ended, once everybody has heard it."""
        await at_once(self._under_way)
        return {name: (await self.buyer(name).look())[1] for name in self.wishes}

    async def _placed(self, names: Sequence[str]) -> dict[str, str]:
        query = "SELECT id, idempotency_key AS key FROM orders"
        rows = await asyncio.to_thread(invariants.rows, self._live.databases["vouchers"], query)
        ids = {row["key"]: str(row["id"]) for row in rows}
        assert {self.wishes[name].key for name in names} <= set(ids)
        return {name: ids[self.wishes[name].key] for name in names}


def _found(databases: Mapping[str, str], ids: Sequence[str]) -> dict[str, State]:
    found: dict[str, State] = {order_id: {} for order_id in ids}
    for what, (service, query) in _OF_ORDERS.items():
        for row in invariants.rows(databases[service], query):
            if str(row["order_id"]) in found:
                found[str(row["order_id"])][what] = row["state"]
    return found


@pytest.mark.covers(
    "V3 OrderService.PlaceOrder", "V7 OrderService.CancelMyOrder", "V7 OrderService.RefundOrder"
)
@pytest.mark.timeout(180)
@pytest.mark.parametrize("killed", [["vouchers"], ["points", "promos"]], ids="-".join)
@pytest.mark.parametrize("lost", [UNHEARD, UNANSWERED], ids=["unheard", "unanswered"])
async def test_an_order_is_finished_from_the_step_at_which_a_process_died(
    broken: Breakable, shop: Shop, lost: Weather, killed: list[str]
) -> None:
    steps, done = Steps(broken, shop), lost is UNANSWERED
    await at_once(
        [
            steps.wish("refunded", "both").buy(),
            steps.wish("refunded later", "both").buy(),
            steps.wish("cancelled", "both", card=ASKS).buy(),
            steps.wish("redeemed", "money", promo_code=shop.promo_codes[0]).quote(),
        ]
    )
    with ExitStack() as losing:
        losing.enter_context(broken.hops["points"].under(lost, heals=True))
        steps.begin(steps.buyer("refunded", "refund").go_on())
        steps.begin(steps.buyer("cancelled").cancel())
        steps.begin(steps.wish("debited", "both").buy())
        debit = {"debit": "UNDONE" if done else "DEBITED"}
        reached: dict[str, State] = {
            "refunded": {"order": "REFUNDING", "payment": "REFUNDED", "code": "VOID"} | debit,
            "cancelled": {"order": "UNDOING", "payment": "VOIDED"} | debit,
            "debited": {"order": "PENDING"} | ({"debit": "DEBITED"} if done else {}),
        }
        await steps.reach(reached)
        losing.enter_context(broken.hops["promos"].under(lost, heals=True))
        steps.begin(steps.buyer("refunded later", "refund").go_on())
        steps.begin(steps.buyer("redeemed").buy())
        steps.begin(steps.wish("assigned", "money").buy())
        code = {"code": "VOID" if done else "ASSIGNED"}
        reached |= {
            "refunded later": {"order": "REFUNDING", "payment": "CAPTURED", "debit": "DEBITED"} | code,
            "redeemed": {"order": "PENDING"} | ({"promo code": "REDEEMED"} if done else {}),
            "assigned": {"order": "PENDING", "payment": "AUTHORISED"}
            | ({"code": "ASSIGNED"} if done else {}),
        }
        await steps.reach(reached)
        for name in killed:
            pid = broken.live.stack.kill(name)
            await asyncio.to_thread(broken.live.stack.wait_restarted, name, pid)
    mended = time.monotonic()
    ends = await steps.ended()
    assert time.monotonic() - mended < DEFINITE_SECONDS
    assert ends == {name: _END_OF_STATE[found["order"]] for name, found in reached.items()}
    await eventually(partial(asyncio.to_thread, invariants.check, broken.live.databases), DEFINITE_SECONDS)
