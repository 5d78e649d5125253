"""What the databases say was done: a good response counts only when its effect is there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import psycopg

from bench.children import BenchError
from bench.rig import ALONE, PEER, SCRIP, SPREAD
from bench.wire import BATCH, HOT_MEMBER, IN_MESSAGE, PLACE_ORDER, RECORD_PURCHASE, REDEEM_CODE
from services.common.db import Connection, Database
from services.points.books.queries import unbalanced_members

_PURCHASES = {"receipts": ("points", "SELECT count(*) FROM receipts")}
_ORDERS = {
    "orders completed": ("vouchers", "SELECT count(*) FROM orders WHERE state = 'COMPLETED'"),
    "vouchers in wallets": ("vouchers", "SELECT count(*) FROM wallet_vouchers"),
    "stock taken": ("vouchers", "SELECT sum(issued) FROM vouchers"),
    "debits": ("points", "SELECT count(*) FROM debits WHERE state = 'DEBITED'"),
    "codes given": ("promos", "SELECT count(*) FROM codes WHERE state = 'ASSIGNED'"),
}
_REDEMPTIONS = {
    "redemptions": ("promos", "SELECT count(*) FROM redemptions WHERE cancelled_at IS NULL"),
    "uses of codes": ("promos", "SELECT sum(uses) FROM codes"),
}
_SCENARIOS = {
    REDEEM_CODE: _REDEMPTIONS,
    **dict.fromkeys((RECORD_PURCHASE, HOT_MEMBER, BATCH, *IN_MESSAGE), _PURCHASES),
    PLACE_ORDER: _ORDERS,
}
_WITH_EFFECTS = (SCRIP, SPREAD, PEER, ALONE)


def count(databases: Mapping[str, str], target: str, scenario: str) -> dict[str, int]:
    """Returns how often each effect of a scenario is there by now; of one without effects, nothing."""
    if target not in _WITH_EFFECTS:
        return {}
    found = {}
    for name, (service, statement) in _SCENARIOS.get(scenario, {}).items():
        with psycopg.connect(databases[target if target in (PEER, ALONE) else service]) as connection:
            if target == PEER:
                connection.execute("SET search_path = points, vouchers, promos")
            row = connection.execute(statement.encode()).fetchone()
            assert row
            found[name] = int(row[0])
    return found


def check_effects(before: Mapping[str, int], after: Mapping[str, int], answered: int, errors: int) -> None:
    """Raises BenchError unless each effect is there once for each good response.

    A request that ended in an error may or may not have had its effect.
    """
    for name, then in before.items():
        done = after[name] - then
        if not answered <= done <= answered + errors:
            raise BenchError(f"{answered} good answers and {errors} errors, but {done} {name}")


def check_ledgers(databases: Mapping[str, str]) -> None:
    """Raises BenchError unless each member's ledger, lots and balance agree, here and at the peer."""
    for name, url in ((SCRIP, databases["points"]), (PEER, databases[PEER]), (ALONE, databases[ALONE])):
        wrong = asyncio.run(_unbalanced(url))
        if wrong:
            raise BenchError(f"{name}: the books of {wrong} members do not agree")


async def _unbalanced(url: str) -> int:
    database = Database(url, pool_size=1)
    try:
        return len(await database.read(_within_a_minute))
    finally:
        await database.close()


async def _within_a_minute(connection: Connection) -> list[object]:
    await connection.execute("SET statement_timeout = '60s'")
    await connection.execute("SET search_path = points, public")  # only the peer has a schema `points`
    return list(await unbalanced_members(connection))
