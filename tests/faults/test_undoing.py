"""An order that promos refuses after it was paid gives everything back, also when services are killed."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import psycopg
import pytest

from tests import invariants
from tests.faults.clients import Disturbed, answer
from tests.hanging import hanging
from tests.platform import Member, Platform, at_once, eventually, refusal, unique

BUYERS, PRICE = 20, 500
PAID_SECONDS, FINISHED_SECONDS = 8.0, 30.0


def _refuse_codes(promos: str, orders: list[str]) -> None:
    """Makes promos refuse codes to these orders for ever, as after a release that came first."""
    with psycopg.connect(promos) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO assignments (order_id, state, released_at) VALUES (%s, 'RELEASED', now())",
            [(order,) for order in orders],
        )


async def _paid_orders(live: Platform, voucher: str) -> list[str]:
    """Returns the orders of the voucher, once all are paid."""
    placed = f"SELECT id FROM orders WHERE voucher_id = '{voucher}'"
    orders = [str(row["id"]) for row in invariants.rows(live.databases["vouchers"], placed)]
    debits = invariants.rows(live.databases["points"], "SELECT order_id FROM debits WHERE state = 'DEBITED'")
    assert len(orders) == BUYERS
    assert set(orders) <= {str(row["order_id"]) for row in debits}
    return orders


@pytest.mark.timeout(180)
@pytest.mark.parametrize("killed", ["nobody", "points", "vouchers"])
async def test_a_paid_order_without_a_code_gives_everything_back(
    live: Platform, till: str, killed: str
) -> None:
    buyers: list[Member] = await live.members(BUYERS)
    await at_once([live.give(till, buyer, PRICE) for buyer in buyers])
    voucher, seen = await live.voucher(BUYERS, points=PRICE), Disturbed()
    orders = [partial(live.order, buyer, voucher, unique()) for buyer in buyers]
    with hanging(live.stack, "promos"):
        asked = [asyncio.create_task(answer(live, order, seen)) for order in orders]
        paid = await eventually(partial(_paid_orders, live, voucher), PAID_SECONDS)
        assert await live.balance(buyers[0]) == 0
        _refuse_codes(live.databases["promos"], paid)
    pid = live.stack.kill(killed) if killed != "nobody" else 0
    died = time.monotonic()
    await at_once(asked)

    async def all_finished() -> None:
        for order in orders:
            refused = refusal(await answer(live, order, seen))
            assert (refused.status, refused.reason) == (400, "ORDER_UNDONE")

    await eventually(all_finished, FINISHED_SECONDS - (time.monotonic() - died))
    if pid:
        await asyncio.to_thread(live.stack.wait_restarted, killed, pid)
    assert await at_once([live.balance(buyer) for buyer in buyers]) == [PRICE] * BUYERS
    offer = await live.ok("GET", f"/v1/offers/{voucher}", token=buyers[0].token)
    assert offer["offer"]["quantity_left"] == BUYERS
    invariants.check(live.databases)
    await live.bought(buyers[0], voucher)
