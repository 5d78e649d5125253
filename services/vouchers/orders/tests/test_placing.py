"""Placing orders together: stock and limits hold in any crowd, and each order stands or falls alone."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from services.common.cache import Redis
from services.common.db import Connection, Database, execute, fetch_value, fetch_values
from services.common.errors import DomainError
from services.common.ids import new_id
from services.vouchers.catalogue import QuantityChanges
from services.vouchers.orders import statements
from services.vouchers.orders.commands import fail_order
from services.vouchers.orders.ending import Completing
from services.vouchers.orders.new_orders import NewOrder, Placed, place_orders
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.transitions import start_undoing
from tests.databases import new_database
from tests.inprocess import Platform

CANCELLED = DomainError("ORDER_CANCELLED", "cancelled")


@dataclass
class Shop:
    """A database of vouchers, and two processes that place orders there."""

    platform: Platform
    db: Database
    placings: Sequence[Placing]

    async def voucher(self, quantity: int = 100, **fields: object) -> UUID:
        """Returns a voucher on sale for 10 points, with so many pieces."""
        voucher_id = new_id()
        values = {
            "id": voucher_id,
            "title": "x",
            "description": "",
            "face_value_minor": 500,
            "currency_code": "USD",
            "price_points": 10,
            "quantity": quantity,
            "buy_type": "GIFT",
            **fields,
        }
        statement = sql.SQL("INSERT INTO vouchers (sale_starts_at, {}) VALUES (now(), {})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        )
        await self.db.run(execute, statement, **values)
        return voucher_id

    async def together(self, news: Sequence[NewOrder], process: int = 0) -> list[Placed]:
        """Returns what becomes of orders that come to a process at the same time."""
        placing = self.placings[process]
        outcomes = await asyncio.gather(*(placing.place(new) for new in news), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, OrderRow | DomainError), outcome
        return outcomes  # type: ignore[return-value]  # as was just asserted

    async def everywhere(self, news: Sequence[NewOrder]) -> list[Placed]:
        """Returns what becomes of orders that come at once, every second one to the other process."""
        before = self.platform.deadlocks()
        both = await asyncio.gather(self.together(news[::2]), self.together(news[1::2], process=1))
        assert self.platform.deadlocks() == before
        return [outcome for outcomes in both for outcome in outcomes]

    async def undo(self, order: OrderRow, why: DomainError = CANCELLED) -> OrderRow | None:
        """Has an order undone; returns it as it ended."""
        undoing = await self.db.run_autocommit(start_undoing, order_id=order.id, refusal=why)
        assert undoing
        return await self.db.run(fail_order, undoing)

    async def value(self, statement: str, **values: object) -> Any:
        """Returns one value."""
        return await self.db.read(fetch_value, statement.encode(), **values)

    async def issued(self, voucher_id: UUID) -> int:
        """Returns how many pieces are taken, as the voucher and as its orders say."""
        taken: int = await self.value("SELECT issued FROM vouchers WHERE id = %(id)s", id=voucher_id)
        of_orders = await self.value(
            """
            SELECT coalesce(sum(quantity), 0)::int FROM orders
            WHERE voucher_id = %(id)s AND state NOT IN ('FAILED', 'CANCELLED', 'REFUNDED')
            """,
            id=voucher_id,
        )
        assert taken == of_orders
        return taken

    async def counted(self, table: str, column: str, voucher_id: UUID) -> list[int]:
        """Returns what is counted for the limits of a voucher."""
        statement = sql.SQL("SELECT {} FROM {} WHERE voucher_id = %(id)s ORDER BY 1").format(
            sql.Identifier(column), sql.Identifier(table)
        )
        return await self.db.read(fetch_values, statement, id=voucher_id)


@pytest.fixture(scope="module")
async def shop(platform: Platform) -> AsyncIterator[Shop]:
    url = await new_database(platform.postgres, "vouchers", "placing")
    databases = [Database(url, pool_size=3) for _ in range(2)]
    cache = Redis(platform.redis_url)
    changes = QuantityChanges(cache, platform.redis_url)
    placing = [Placing(db, changes, lease_seconds=30, codes_ahead=20_000) for db in databases]
    yield Shop(platform, databases[0], placing)
    await changes.close()
    await cache.close()
    for db in databases:
        await db.close()


def wanted(voucher_id: UUID, member_id: UUID | None = None, quantity: int = 1, **fields: Any) -> NewOrder:
    """Returns an order with a key of its own."""
    return NewOrder(member_id or new_id(), voucher_id, str(new_id()), quantity, **fields)


def told(outcomes: Sequence[Placed]) -> list[str]:
    """Returns the states of the orders, or why there are none."""
    return [one.state if isinstance(one, OrderRow) else one.reason for one in outcomes]


def ids(outcomes: Sequence[Placed]) -> list[UUID]:
    """Returns the ids of the orders."""
    return [one.id for one in outcomes if isinstance(one, OrderRow)]


async def test_a_crowd_at_two_processes_gets_every_piece_and_no_more(shop: Shop) -> None:
    voucher = await shop.voucher(50)
    news = [wanted(voucher, quantity=3 if number % 5 == 0 else 1) for number in range(120)]
    outcomes = await shop.everywhere(news)
    pieces = sum(one.quantity for one in outcomes if isinstance(one, OrderRow))
    assert pieces == await shop.issued(voucher) == 50
    assert set(told(outcomes)) == {"PENDING", "SOLD_OUT"}
    assert ids(await shop.everywhere(news)) == ids(outcomes), "sold out, each finds its order by its key"


async def test_a_key_that_comes_to_two_processes_at_once_makes_one_order(shop: Shop) -> None:
    vouchers = [await shop.voucher(), await shop.voucher()]
    news = [wanted(vouchers[number % 2]) for number in range(20)]
    before = shop.platform.deadlocks()
    tries = await asyncio.gather(
        shop.together(news),
        shop.together(news[::-1], process=1),
        shop.together(news),
        shop.together(news, process=1),
    )
    assert shop.platform.deadlocks() == before
    assert len({one for outcomes in tries for one in ids(outcomes)}) == 20
    assert [await shop.issued(voucher) for voucher in vouchers] == [10, 10]


async def test_a_member_at_fifty_places_at_once_gets_no_more_than_the_limit(shop: Shop) -> None:
    voucher, member = await shop.voucher(max_per_member=3), new_id()
    news = [wanted(voucher, member) for _ in range(50)]
    others = [wanted(voucher) for _ in range(4)]
    outcomes = await shop.everywhere([*news[:25], *others, *news[25:]])
    assert Counter(told(outcomes)) == {"PENDING": 7, "MEMBER_LIMIT_REACHED": 47}
    [refusal] = {str(one.metadata) for one in outcomes if isinstance(one, DomainError)}
    assert refusal == str({"limit": "3", "ordered": "3"})
    assert await shop.counted("voucher_members", "ordered", voucher) == [1, 1, 1, 1, 3]
    mine = [one for one in outcomes if isinstance(one, OrderRow) and one.member_id == member]
    ended = await shop.undo(mine[0])
    assert ended
    assert (ended.state, ended.steps) == ("CANCELLED", ["PENDING", "UNDOING", "CANCELLED"])
    assert told(await shop.everywhere([wanted(voucher, member) for _ in range(2)])).count("PENDING") == 1
    assert await shop.issued(voucher) == 7


async def test_a_limit_that_comes_later_counts_what_was_ordered_before(shop: Shop) -> None:
    voucher, member = await shop.voucher(), new_id()
    first, undone, _ = await shop.together([wanted(voucher, member, number) for number in (1, 4, 2)])
    assert isinstance(first, OrderRow)
    assert isinstance(undone, OrderRow)
    await shop.undo(undone)
    await shop.db.run(execute, "UPDATE vouchers SET max_per_member = 5 WHERE id = %(id)s", id=voucher)
    outcomes = await shop.everywhere([wanted(voucher, member) for _ in range(20)])
    assert Counter(told(outcomes)) == {"PENDING": 2, "MEMBER_LIMIT_REACHED": 18}
    await shop.undo(first)
    assert await shop.counted("voucher_members", "ordered", voucher) == [4]


async def test_fifty_gifts_at_once_to_one_recipient_keep_its_limit(shop: Shop) -> None:
    voucher, lucky, other = await shop.voucher(max_gifts_per_recipient=4), b"lucky", b"other"
    gifts = [wanted(voucher, recipient_hash=lucky, recipient_name="L") for _ in range(50)]
    outcomes = await shop.everywhere([*gifts, wanted(voucher, quantity=4, recipient_hash=other)])
    assert Counter(told(outcomes)) == {"PENDING": 5, "RECIPIENT_LIMIT_REACHED": 46}
    assert await shop.counted("voucher_recipients", "given", voucher) == [4, 4]
    given = next(one for one in outcomes if isinstance(one, OrderRow) and one.recipient_hash == lucky)
    assert given.recipient_name == "L"
    ended = await shop.undo(given, DomainError("INSUFFICIENT_POINTS", "too few", required=10, available=0))
    assert ended
    assert (ended.state, ended.failure_reason) == ("FAILED", "INSUFFICIENT_POINTS")
    assert await shop.counted("voucher_recipients", "given", voucher) == [3, 4]


async def test_of_orders_that_come_together_each_is_judged_alone(shop: Shop) -> None:
    open_, ended = await shop.voucher(), await shop.voucher(sale_ends_at="-infinity")
    draft, money = await shop.voucher(state="DRAFT"), await shop.voucher(price_minor=99, price_points=0)
    both, dear = (
        await shop.voucher(price_minor=99, price_rule="TOGETHER"),
        await shop.voucher(price_points=10**9),
    )
    limited = await shop.voucher(max_per_member=1)
    known = wanted(open_)
    [before] = await shop.together([known])
    news = {
        "PENDING": wanted(open_, quantity=20),
        "VOUCHER_NOT_FOUND": wanted(new_id()),
        "VOUCHER_NOT_ON_SALE": wanted(ended),
        "SOLD_OUT": wanted(open_, quantity=101),
        "PAYMENT_METHOD_REQUIRED": wanted(money),
        "VALIDATION_FAILED": wanted(dear, quantity=3),
        "MEMBER_LIMIT_REACHED": wanted(limited, quantity=2),
        "IDEMPOTENCY_KEY_REUSED": replace(known, voucher_id=both),
    }
    more = [known, replace(known, quantity=2), wanted(draft), wanted(both), wanted(both, price_points=4)]
    outcomes = await shop.together([*news.values(), *more])
    assert told(outcomes[: len(news)]) == list(news)
    assert told(outcomes[len(news) :]) == [
        "PENDING",
        "IDEMPOTENCY_KEY_REUSED",
        "VOUCHER_NOT_ON_SALE",
        "PAYMENT_METHOD_REQUIRED",
        "PENDING",
    ]
    assert ids([outcomes[len(news)]]) == ids([before])
    twenty, four = outcomes[0], outcomes[-1]
    assert isinstance(twenty, OrderRow)
    assert isinstance(four, OrderRow)
    assert (twenty.price_points, twenty.steps) == (200, ["PENDING"])
    assert four.price_points == 4
    assert [await shop.issued(one) for one in (open_, ended, draft, money, both, limited)] == [
        21, 0, 0, 0, 1, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left", "quantities", "expected"),
    [
        (3, [5, 2, 1], [0, 1, 1]),
        (3, [2, 2, 1], [1, 0, 1]),
        (2, [3, 3, 3], [0, 0, 0]),
        (4, [1, 3, 1], [1, 1, 0]),
    ],
)
async def test_one_that_wants_more_than_there_is_keeps_nobody_waiting(
    shop: Shop, left: int, quantities: list[int], expected: list[int]
) -> None:
    voucher = await shop.voucher(left)
    outcomes = await shop.together([wanted(voucher, quantity=quantity) for quantity in quantities])
    assert [int(isinstance(one, OrderRow)) for one in outcomes] == expected
    assert set(told(outcomes)) <= {"PENDING", "SOLD_OUT"}


async def test_a_key_whose_first_order_was_refused_serves_the_next(shop: Shop) -> None:
    none, some = await shop.voucher(1), await shop.voucher()
    await shop.together([wanted(none)])
    refused = wanted(none)
    outcomes = await shop.together([refused, replace(refused, voucher_id=some), refused])
    assert told(outcomes) == ["SOLD_OUT", "PENDING", "SOLD_OUT"]
    assert told(await shop.together([refused])) == ["IDEMPOTENCY_KEY_REUSED"]


async def test_stock_that_comes_back_is_sold_at_once_although_it_was_sold_out(shop: Shop) -> None:
    voucher = await shop.voucher(1)
    [last] = await shop.together([wanted(voucher)])
    assert isinstance(last, OrderRow)
    assert told(await shop.everywhere([wanted(voucher) for _ in range(4)])) == ["SOLD_OUT"] * 4
    await shop.undo(last)
    assert sorted(told(await shop.everywhere([wanted(voucher) for _ in range(2)]))) == ["PENDING", "SOLD_OUT"]


async def test_completed_orders_fill_wallets_in_order_and_one_that_can_not_fails_alone(shop: Shop) -> None:
    voucher = await shop.voucher()
    placed = await shop.together([wanted(voucher, quantity=quantity) for quantity in (3, 1, 1, 2, 1)])
    three, one, gone, twice, bad = [order for order in placed if isinstance(order, OrderRow)]
    await shop.undo(gone)
    codes = {order.id: [new_id() for _ in range(order.quantity)] for order in (three, one, gone, twice, bad)}
    codes[bad.id] = codes[one.id]
    completing = Completing(shop.db, gifts_last=timedelta(days=14))
    calls = (completing.complete(order, codes[order.id]) for order in (three, one, gone, bad))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome.state for outcome in outcomes if isinstance(outcome, OrderRow)] == ["COMPLETED"] * 2
    assert outcomes[2] is None
    assert isinstance(outcomes[3], Exception)
    both = await asyncio.gather(*(completing.complete(twice, codes[twice.id]) for _ in range(2)))
    assert both[0] == both[1]
    owned = "SELECT w.{} FROM wallet_vouchers w WHERE w.order_id = %(id)s ORDER BY w.number"
    for order, outcome in ((three, outcomes[0]), (one, outcomes[1]), (twice, both[0])):
        assert isinstance(outcome, OrderRow)
        assert outcome.steps == ["PENDING", "COMPLETED"]
        kept = {
            column: await shop.db.read(fetch_values, owned.format(column).encode(), id=order.id)
            for column in ("id", "code_id", "number", "member_id")
        }
        assert kept == {
            "id": outcome.wallet_voucher_ids,
            "code_id": codes[order.id],
            "number": list(range(1, order.quantity + 1)),
            "member_id": [order.member_id] * order.quantity,
        }
    assert await completing.complete(three, codes[three.id]) is None


async def test_a_refunded_order_gives_stock_back_and_an_open_one_does_not(shop: Shop) -> None:
    voucher = await shop.voucher(max_per_member=9)
    [order] = await shop.together([wanted(voucher, quantity=5)])
    assert isinstance(order, OrderRow)
    assert await shop.db.run(fail_order, order) is None
    refunding = "UPDATE orders SET state = 'REFUNDING', failure_reason = 'ORDER_CANCELLED' WHERE id = %(id)s"
    await shop.db.run(execute, refunding, id=order.id)
    ended = await shop.db.run(fail_order, order)
    assert ended
    assert ended.state == "REFUNDED"
    assert await shop.db.run(fail_order, order) is None
    assert await shop.issued(voucher) == 0
    assert await shop.counted("voucher_members", "ordered", voucher) == [0]


class KilledError(Exception):
    """The process is gone."""


async def test_a_process_that_dies_before_any_statement_leaves_nothing_or_all(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, usual = itertools.count(), psycopg.AsyncCursor.execute

    async def mortal(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.connection.info.dbname == "placing" and next(left) == 0:
            await self.connection.close()
            raise KilledError
        return await usual(self, *args, **kwargs)

    state = """
    SELECT ARRAY[
      (SELECT count(*) FROM orders), (SELECT sum(issued) FROM vouchers),
      (SELECT coalesce(sum(ordered), 0) FROM voucher_members),
      (SELECT coalesce(sum(given), 0) FROM voucher_recipients)
    ]::int[]
    """
    halves: list[list[int]] = []
    limited = await shop.voucher(max_per_member=1)
    for statement in itertools.count():
        voucher, member = await shop.voucher(4, max_per_member=3), new_id()
        news = [
            wanted(voucher, member, 2, recipient_hash=b"killed"),
            wanted(voucher, quantity=3),
            wanted(voucher),
            wanted(limited, quantity=2),
        ]
        before = await shop.value(state)
        left = itertools.count(-statement)
        monkeypatch.setattr(psycopg.AsyncCursor, "execute", mortal)
        survived = True
        try:
            await shop.db.run(place_orders, news, lease_seconds=30, codes_ahead=20_000)
        except KilledError:
            survived = False
        monkeypatch.undo()
        half = [now - then for now, then in zip(await shop.value(state), before, strict=True)]
        outcomes = await shop.db.run(place_orders, news, lease_seconds=30, codes_ahead=20_000)
        assert told(outcomes) == ["PENDING", "SOLD_OUT", "PENDING", "MEMBER_LIMIT_REACHED"]
        assert ids(await shop.db.run(place_orders, news, lease_seconds=30, codes_ahead=20_000)) == ids(
            outcomes
        )
        whole = [now - then for now, then in zip(await shop.value(state), before, strict=True)]
        assert whole == [2, 3, 3, 2]
        halves.append(half)
        if survived:
            break
    assert halves == [[0] * 4] * (len(halves) - 1) + [[2, 3, 3, 2]]
    assert len(halves) > 4


async def test_no_statement_reads_more_where_there_are_many_orders(shop: Shop) -> None:
    """Among 20,000 orders of a voucher, 20 of them its member's."""
    voucher, member = await shop.voucher(10**6, max_per_member=10**6), new_id()
    fill = """
    INSERT INTO orders (id, member_id, idempotency_key, voucher_id, price_points, state, deadline_at)
    SELECT
      uuidv7(), CASE WHEN i %% 1000 = 0 THEN %(member)s ELSE uuidv7() END, i, %(voucher)s, 1, 'COMPLETED',
      now()
    FROM generate_series(1, 20000) AS i
    """
    await shop.db.run(execute, fill, member=member, voucher=voucher)
    await shop.db.run(execute, "ANALYZE")
    placed = [one for one in await shop.together([wanted(voucher, member)]) if isinstance(one, OrderRow)]
    assert await shop.counted("voucher_members", "ordered", voucher) == [21]
    given = [{"place": 1, "id": str(new_id()), "member_id": str(member), "key": "plan", "quantity": 1}]
    given[0] |= {"voucher_id": str(voucher), "recipient_hash": "\\x00"}
    pieces = [{"order_id": str(placed[0].id), "number": 1, "id": str(new_id()), "code_id": str(new_id())}]
    for statement, values in (
        (statements.PLACE, {"orders": json.dumps(given), "lease_seconds": 30, "codes_ahead": 20_000}),
        (statements.JUDGE, {"orders": json.dumps(given)}),
        (statements.COMPLETE, {"pieces": json.dumps(pieces), "order_ids": [placed[0].id]}),
        (statements.FAIL, {"id": placed[0].id}),
    ):
        plan = await shop.db.read(_plan, statement, values)
        read = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert not read & {"orders", "wallet_vouchers"}, plan


async def _plan(connection: Connection, statement: sql.Composed, values: dict[str, Any]) -> Any:
    found = await fetch_value(connection, sql.SQL("EXPLAIN (FORMAT JSON) ") + statement, **values)
    return found[0]["Plan"]


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]
