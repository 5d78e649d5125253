"""Transactions with bounded retries, and faults of the database in the domain's terms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from services.common import pool, schema
from services.common.db import Connection, Database, UnforeseenError
from services.common.errors import DomainError
from services.common.ids import new_id

ADD_ONE = "UPDATE counters SET value = value + 1 WHERE name = %(name)s"
TERMINATE = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"


async def execute(connection: Connection, /, statement: str, **values: object) -> object:
    """Runs a statement; the first value of its first row, if any."""
    cursor = await connection.execute(statement, values or None)
    row = await cursor.fetchone() if cursor.description else None
    return row[0] if row else None


async def counter(db: Database, value: int = 0) -> str:
    """Returns a new counter's name."""
    name = str(new_id())
    await db.run(execute, "INSERT INTO counters VALUES (%(name)s, %(value)s)", name=name, value=value)
    return name


async def value_of(db: Database, name: str) -> object:
    """Returns a counter's value."""
    return await db.read(execute, "SELECT value FROM counters WHERE name = %(name)s", name=name)


async def refused(call: Awaitable[object]) -> DomainError:
    """Returns the refusal of a call."""
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value


async def terminate(url: str, application: str) -> int:
    """Ends the sessions of an application, as a failover would."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        row = await (await connection.execute(TERMINATE, [application])).fetchone()
    assert row is not None
    return int(row[0])


def named(url: str, application: str) -> str:
    """Returns the URL that marks the sessions of an application."""
    return f"{url}&application_name={application}"


async def test_what_a_command_did_is_committed_and_what_a_refused_one_did_is_not(db: Database) -> None:
    name = await counter(db)

    async def add(connection: Connection, *, refuse: bool) -> str:
        await execute(connection, ADD_ONE, name=name)
        if refuse:
            raise DomainError("SOLD_OUT", "none left")
        return "added"

    assert await db.run(add, refuse=False) == "added"
    assert (await refused(db.run(add, refuse=True))).reason == "SOLD_OUT"
    assert await value_of(db, name) == 1


def read_then_write(
    name: str, meet: Callable[[], Awaitable[None]]
) -> Callable[[Connection], Awaitable[None]]:
    """Adds one the way that only a serialisable transaction may."""

    async def add(connection: Connection) -> None:
        await execute(connection, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        seen = await execute(connection, "SELECT value FROM counters WHERE name = %(name)s", name=name)
        await meet()
        assert isinstance(seen, int)
        statement = "UPDATE counters SET value = %(value)s WHERE name = %(name)s"
        await execute(connection, statement, name=name, value=seen + 1)

    return add


async def test_a_transaction_that_lost_a_conflict_is_run_again(db: Database) -> None:
    name = await counter(db)
    tries = 0
    both_have_read = asyncio.Barrier(2)

    async def meet() -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            await both_have_read.wait()

    await asyncio.gather(*(db.run(read_then_write(name, meet)) for _ in range(2)))
    assert await value_of(db, name) == 2
    assert tries == 3


async def test_conflicts_without_end_are_given_up_after_four_tries(db: Database) -> None:
    name = await counter(db)
    tries = 0

    async def meddle() -> None:
        nonlocal tries
        tries += 1
        await db.run(execute, "UPDATE counters SET value = value + 10 WHERE name = %(name)s", name=name)

    error = await refused(db.run(read_then_write(name, meddle)))
    assert (error.reason, error.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "database"})
    assert tries == 4
    assert await value_of(db, name) == 40


async def test_a_deadlock_is_dissolved_and_both_succeed(db: Database) -> None:
    names = [await counter(db), await counter(db)]
    tries = 0
    both_hold_one = asyncio.Barrier(2)

    async def add(connection: Connection, order: list[str]) -> None:
        nonlocal tries
        tries += 1
        first = tries <= 2
        for name in order:
            await execute(
                connection, "UPDATE counters SET value = value + 1 WHERE name = %(name)s", name=name
            )
            if first and name == order[0]:
                await both_hold_one.wait()

    await asyncio.gather(db.run(add, names), db.run(add, names[::-1]))
    assert [await value_of(db, name) for name in names] == [2, 2]
    assert tries == 3


async def test_a_violated_constraint_becomes_the_refusal_of_its_name(db: Database) -> None:
    name = await counter(db)
    insert = "INSERT INTO counters VALUES (%(name)s, %(value)s)"
    assert (await refused(db.run(execute, insert, name=name, value=1))).reason == "CLIENT_NAME_TAKEN"
    assert (await refused(db.run(execute, insert, name="x", value=-1))).reason == "INSUFFICIENT_POINTS"


async def test_a_constraint_that_nobody_foresaw_is_no_refusal(db: Database) -> None:
    with pytest.raises(UnforeseenError, match="NotNullViolation"):
        await db.run(execute, "INSERT INTO notes (body) VALUES (NULL)")


async def test_texts_with_nul_are_not_valid(db: Database) -> None:
    error = await refused(db.run(execute, "INSERT INTO notes (body) VALUES (%(body)s)", body="a\0b"))
    assert error.reason == "VALIDATION_FAILED"
    assert (await refused(db.read(execute, "SELECT %(body)s", body="\0"))).reason == "VALIDATION_FAILED"


@pytest.mark.parametrize("how", ["run", "read"])
async def test_connections_that_died_in_the_pool_are_replaced_unnoticed(database_url: str, how: str) -> None:
    application = f"pool-{how}"
    db = Database(named(database_url, application), pool_size=4)
    call, all_are_there = db.run if how == "run" else db.read, asyncio.Barrier(4)

    async def together(connection: Connection) -> None:
        await execute(connection, "SELECT 1")
        await all_are_there.wait()

    await asyncio.gather(*(call(together) for _ in range(4)))
    assert await terminate(database_url, application) == 4
    answers = await asyncio.gather(*(call(execute, "SELECT 7") for _ in range(8)))
    assert answers == [7] * 8
    await db.close()


async def test_a_command_whose_connection_died_midway_is_run_again_whole(database_url: str) -> None:
    application = "midway"
    db = Database(named(database_url, application), pool_size=2)
    name = await counter(db)
    tries = 0

    async def add_twice(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        for _ in range(2):
            await execute(
                connection, "UPDATE counters SET value = value + 1 WHERE name = %(name)s", name=name
            )
            if tries == 1:
                await terminate(database_url, application)

    await db.run(add_twice)
    assert await value_of(db, name) == 2
    assert tries == 2
    await db.close()


async def test_a_commit_without_an_answer_is_never_repeated(database_url: str) -> None:
    application = "commit"
    db = Database(named(database_url, application), pool_size=2)
    tries = 0

    async def write(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await execute(connection, "INSERT INTO notes (body) VALUES ('x')")
        await terminate(database_url, application)

    assert (await refused(db.run(write))).reason == "DEPENDENCY_UNAVAILABLE"
    assert tries == 1
    await db.close()


async def test_without_a_server_the_answer_is_unavailable(tmp_path: object) -> None:
    db = Database(f"postgresql://scrip@/nothing?host={tmp_path}", pool_size=2)
    for call in (db.run, db.read):
        error = await refused(call(execute, "SELECT 1"))
        assert (error.reason, error.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "database"})
        assert error.retry_after is not None
    assert await schema.at_head("identity", db)() is False
    await db.close()


async def test_a_busy_pool_refuses_in_bounded_time_and_health_only_says_no(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.1)
    db = Database(database_url, pool_size=1)
    healthy = schema.at_head("identity", db)
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        await execute(connection, "SELECT 1")
        begun.set()
        await let_go.wait()

    busy = asyncio.create_task(db.run(hold))
    await begun.wait()
    async with asyncio.timeout(2):
        error = await refused(db.read(execute, "SELECT 1"))
    assert (error.reason, error.metadata) == ("OVERLOADED", {"queue": "database"})
    assert await healthy() is False
    let_go.set()
    await busy
    assert await db.read(execute, "SELECT 1") == 1
    await db.close()


async def test_a_caller_that_goes_away_gives_its_connection_back(database_url: str) -> None:
    db = Database(database_url, pool_size=1)
    slow = asyncio.create_task(db.run(execute, "SELECT pg_sleep(9)"))
    await asyncio.sleep(0.1)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    async with asyncio.timeout(2):
        assert await db.run(execute, "SELECT 1") == 1
    await db.close()


async def test_statements_and_locks_end_in_bounded_time(db: Database) -> None:
    async def limits(connection: Connection) -> list[object]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        return [await execute(connection, f"SHOW {name}") for name in names]

    assert await db.read(limits) == ["10s", "5s", "15s"]


async def test_a_statement_beyond_its_time_is_unavailable_and_not_repeated(db: Database) -> None:
    tries = 0

    async def slow(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await execute(connection, "SET LOCAL statement_timeout = '50ms'")
        await execute(connection, "SELECT pg_sleep(5)")

    assert (await refused(db.run(slow))).reason == "DEPENDENCY_UNAVAILABLE"
    assert tries == 1
