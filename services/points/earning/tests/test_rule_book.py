"""Several processes and the rules in force, on a database of their own: they change the programme's rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from services.common.caller import Caller
from services.common.db import Connection, Database
from services.common.housekeeping import end, keep_running
from services.common.ids import new_id, utc_now
from services.points.earning import Rate, RuleBook
from services.points.earning.commands import NewRule, create_earn_rule
from services.points.earning.kinds import FirstPurchaseBonus, Multiplier
from services.points.parts import CONSTRAINTS
from services.points.tests.earn_rule_help import at_once
from stack.postgres import Postgres
from tests.databases import new_database
from tests.inprocess import eventually

DEFAULT = Rate(1, 1_000)


@dataclass
class OwnPoints:
    """An empty database, and the processes that use it."""

    url: str
    _opened: list[Database] = field(default_factory=list)

    def db(self) -> Database:
        """Connections of one more process."""
        self._opened.append(Database(self.url, pool_size=3, constraints=CONSTRAINTS))
        return self._opened[-1]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Returns rows straight from the database."""

        async def fetch(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query)).fetchall()

        return await self._opened[0].read(fetch)

    async def close(self) -> None:
        """Closes all connections."""
        for database in self._opened:
            await database.close()


@pytest.fixture
async def own_points(postgres: Postgres) -> AsyncIterator[OwnPoints]:
    """Points' tables, empty."""
    own = OwnPoints(await new_database(postgres, "points"))
    yield own
    await own.close()


ADMIN = Caller(str(new_id()), "admin")


def new_rule(**fields: Any) -> NewRule:
    """Returns a rule as the command takes it."""
    values: dict[str, Any] = {
        "name": "Double",
        "effect": Multiplier(200, ()),
        "priority": 0,
        "starts_at": None,
        "ends_at": None,
        "enabled": True,
    }
    return NewRule(**values | fields)


def all_know(books: Iterable[RuleBook], *, rules: int) -> Any:
    """Returns a check that every process has so many rules in force."""

    async def check() -> None:
        for book in books:
            assert await book.known()
            assert len(book.current.rules) == rules

    return check


async def test_processes_that_start_at_once_agree_on_one_set(own_points: OwnPoints) -> None:
    books = [RuleBook(own_points.db(), DEFAULT) for _ in range(8)]
    await asyncio.gather(*(book.refresh() for book in books))
    assert len({book.current.id for book in books}) == 1
    assert await own_points.rows("SELECT count(*) FROM earn_rule_sets") == [(1,)]
    assert books[0].current.default == DEFAULT


async def test_another_rate_of_the_programme_holds_for_all_processes(own_points: OwnPoints) -> None:
    old = RuleBook(own_points.db(), DEFAULT)
    await old.refresh()
    before = old.current
    new = RuleBook(own_points.db(), Rate(2, 500))
    await new.refresh()
    await old.refresh()
    assert old.current == new.current
    assert old.current.default == Rate(2, 500)
    assert (await new.get(before.id)).default == DEFAULT, "older purchases keep the rate they had"


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
async def test_every_process_hears_of_a_change_within_two_seconds(own_points: OwnPoints) -> None:
    books = [RuleBook(own_points.db(), DEFAULT) for _ in range(4)]
    loops = [asyncio.create_task(book.keep_fresh()) for book in books]
    try:
        await eventually(all_know(books, rules=0))
        await own_points.db().run(create_earn_rule, actor=ADMIN, new=new_rule())
        await eventually(all_know(books, rules=1), seconds=2)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


@pytest.mark.covers("P3 EarnRuleService.CreateEarnRule")
async def test_so_many_rules_may_be_enabled_and_no_more(
    own_points: OwnPoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.points.earning.commands.MOST_RULES", 5)
    db = own_points.db()
    book = RuleBook(db, DEFAULT)
    await book.refresh()
    over = utc_now() - timedelta(days=32)
    for _ in range(3):  # of windows that no sale can lie in any more
        await db.run(create_earn_rule, actor=ADMIN, new=new_rule(ends_at=over))
    still_open = utc_now() - timedelta(days=30)
    await db.run(create_earn_rule, actor=ADMIN, new=new_rule(ends_at=still_open))
    bonus = new_rule(effect=FirstPurchaseBonus(5))
    creations = (db.run(create_earn_rule, actor=ADMIN, new=bonus) for _ in range(12))
    made, errors = await at_once(creations)
    assert len(made) == 4
    assert {str(error).partition(":")[0] for error in errors} == {"TOO_MANY_EARN_RULES"}
    assert await own_points.rows("SELECT count(*) FROM earn_rules") == [(3 + 1 + 4,)]
    await db.run(create_earn_rule, actor=ADMIN, new=new_rule(enabled=False))
    await book.refresh()
    assert len(book.current.rules) == 5


async def test_what_was_refused_leaves_the_rules_in_force(own_points: OwnPoints) -> None:
    db = own_points.db()
    book = RuleBook(db, DEFAULT)
    await book.refresh()
    before = book.current
    starts_at = utc_now()
    _, errors = await at_once(
        [db.run(create_earn_rule, actor=ADMIN, new=new_rule(starts_at=starts_at, ends_at=starts_at))]
    )
    assert len(errors) == 1
    await book.refresh()
    assert book.current is before


async def test_older_sets_are_remembered_but_only_so_many(
    own_points: OwnPoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.points.earning.rule_book._REMEMBERED", 20)
    db = own_points.db()
    book = RuleBook(db, DEFAULT)
    await book.refresh()
    for _ in range(10):
        await db.run(create_earn_rule, actor=ADMIN, new=new_rule())
    ids = [set_id for (set_id,) in await own_points.rows("SELECT id FROM earn_rule_sets ORDER BY id")]
    assert len(ids) == 11
    for set_id, rules in zip(ids, range(11), strict=True):
        assert len((await book.get(set_id)).rules) == rules
    assert book._remembered == sum(one.size for one in book._known.values()) <= 21
    await asyncio.gather(*(book.get(set_id) for set_id in ids * 2))
    assert book._remembered == sum(one.size for one in book._known.values()) <= 21
    assert await book.get(book.current.id) is book.current


async def test_rules_that_can_not_be_read_leave_those_before_in_force_and_end_nothing(
    own_points: OwnPoints, caplog: pytest.LogCaptureFixture
) -> None:
    book = RuleBook(own_points.db(), DEFAULT)
    loop = asyncio.create_task(keep_running(book.keep_fresh))
    try:
        await eventually(all_know([book], rules=0))
        before = book.current
        await own_points.rows(
            """
            INSERT INTO earn_rule_sets (content) VALUES (
              '{"default": {"points": 1, "per_minor": 1000}, "rules": [{"kind": "UNHEARD_OF"}]}'
            ) RETURNING id
            """
        )

        async def told() -> None:
            assert any(record.exc_info for record in caplog.records)

        await eventually(told)
        assert book.current == before
        assert not loop.done()
        await own_points.rows("DELETE FROM earn_rule_sets WHERE content::text LIKE '%UNHEARD%' RETURNING id")
        await own_points.db().run(create_earn_rule, actor=ADMIN, new=new_rule())
        await eventually(all_know([book], rules=1))
    finally:
        await end([loop])
