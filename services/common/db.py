"""The database: statements and their rows, transactions with bounded retries, constraints as refusals.

psycopg executes; SQLAlchemy describes tables for migrations and is not imported here. Statements are written
as one would paste them into psql, with placeholders such as `%(member_id)s`; rows are mapped by name.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, LiteralString, ParamSpec, TypeVar

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import set_json_dumps, set_json_loads

from services.common.errors import DomainError, unavailable
from services.common.errors import UnforeseenError as UnforeseenError  # noqa: PLC0414  # handed on
from services.common.pool import Connection as Connection  # noqa: PLC0414  # handed on
from services.common.pool import Pool

log = logging.getLogger(__name__)

Constraints = Mapping[str, Callable[[], DomainError]]
"""The domain error for each constraint whose violation a caller can cause."""

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

Query = LiteralString | bytes | sql.SQL | sql.Composed
"""A statement: written whole, or composed of named constants by `psycopg.sql`."""

_TRIES = 4
_RETRIED_STATES = ("40001", "40P01")  # serialization failure, deadlock: the transaction changed nothing
_UNTRANSLATABLE = "22P05"
_SERVER_ENDS = "57P"  # states with which a server that stops ends its connections

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)


async def fetch_all(connection: Connection, row: type[R], statement: Query, /, **values: Any) -> list[R]:
    """Returns all rows of a statement; `row` is a class whose fields are named as the columns are."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement, values)
    return await cursor.fetchall()


async def fetch_first(connection: Connection, row: type[R], statement: Query, /, **values: Any) -> R | None:
    """Returns the first row of a statement, or None."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement, values)
    return await cursor.fetchone()


async def fetch_one(connection: Connection, row: type[R], statement: Query, /, **values: Any) -> R:
    """Returns the row of a statement that always has one."""
    found = await fetch_first(connection, row, statement, **values)
    assert found is not None, "the statement returns a row"
    return found


async def fetch_value(connection: Connection, statement: Query, /, **values: Any) -> Any:
    """Returns the first column of the first row, or None when there is no row."""
    cursor = connection.cursor(row_factory=scalar_row)
    await cursor.execute(statement, values)
    return await cursor.fetchone()


async def fetch_values(connection: Connection, statement: Query, /, **values: Any) -> list[Any]:
    """Returns the first column of all rows."""
    cursor = connection.cursor(row_factory=scalar_row)
    await cursor.execute(statement, values)
    return await cursor.fetchall()


async def execute(connection: Connection, statement: Query, /, **values: Any) -> int:
    """Runs a statement; returns how many rows it changed."""
    cursor = await connection.execute(statement, values)
    return cursor.rowcount


class Database:
    """A service's own database.

    `run`, `run_autocommit` and `read` take a command or query and its arguments, so that they can be repeated
    whole.
    """

    def __init__(self, url: str, *, pool_size: int, constraints: Constraints | None = None) -> None:
        self._pool = Pool(url, pool_size)
        self._constraints = constraints or {}
        self._away = False

    async def run(
        self,
        command: Callable[Concatenate[Connection, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a command in a transaction of its own and commits.

        A transaction that lost a conflict is run again, four times in all; so is one whose connection ended
        before COMMIT was sent. Raises the domain error of a violated constraint, and DEPENDENCY_UNAVAILABLE
        when the database does not respond: if COMMIT was sent by then, the outcome is unknown.
        """
        for attempt in range(_TRIES):
            connection: Connection | None = None
            committing = False
            try:
                connection = await self._pool.acquire()
                await connection.execute("BEGIN")
                result = await command(connection, *args, **kwargs)
                committing = True
                await _commit(connection)
            except psycopg.Error as error:
                failure, died = error, _died(error, connection)
            else:
                if self._away:
                    self._is_back()
                return result
            finally:
                if connection is not None:
                    await self._pool.release(connection)
            await self._judge(failure, attempt, died=died, committing=committing)
        raise AssertionError("the last attempt returns or raises")

    async def read(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a query without a transaction: one round trip, and each statement sees what is committed."""
        for attempt in range(_TRIES):
            connection: Connection | None = None
            try:
                connection = await self._pool.acquire()
                result = await query(connection, *args, **kwargs)
            except psycopg.Error as error:
                failure, died = error, _died(error, connection)
            else:
                if self._away:
                    self._is_back()
                return result
            finally:
                if connection is not None:
                    await self._pool.release(connection)
            await self._judge(failure, attempt, died=died, committing=False)
        raise AssertionError("the last attempt returns or raises")

    async def run_autocommit(
        self,
        command: Callable[Concatenate[Connection, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a command whose statements each stand alone: they commit one by one.

        It saves the round trips of BEGIN and COMMIT, during which rows would stay locked. The command may be
        repeated whole after any of its statements, also one whose outcome is unknown, so it must find what
        it did before by its key. Raises as `run` does.
        """
        return await self.read(command, *args, **kwargs)

    async def _judge(self, error: psycopg.Error, attempt: int, *, died: bool, committing: bool) -> None:
        """Returns when the work shall be repeated, else raises what the caller shall see."""
        state, last = error.sqlstate, attempt + 1 == _TRIES
        if isinstance(error, psycopg.IntegrityError):
            known = self._constraints.get(error.diag.constraint_name or "")
            if known:
                # Not with its cause, whose DETAIL names values, and which logs would show.
                raise known().with_traceback(error.__traceback__) from None
        if state in _RETRIED_STATES and not last:
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # jitter
            return
        if isinstance(error, psycopg.DataError) and state in (None, _UNTRANSLATABLE):
            # A NUL character, which PostgreSQL can not store: the driver refuses it, or the database in JSON.
            message = "a text holds a character that can not be stored"
            raise DomainError("VALIDATION_FAILED", message) from error
        if died:
            await self._pool.discard_idle()
            if not last and not committing:
                return  # a restart or failover ended the connection before COMMIT: it was rolled back
        if isinstance(error, psycopg.OperationalError) or state in _RETRIED_STATES:
            self._tell(error, away=state is None or state.startswith(_SERVER_ENDS))
            raise unavailable("database") from error
        # Neither names, numbers nor hashes get into the log with an unforeseen error, as its DETAIL would.
        where = error.diag.constraint_name or error.diag.message_primary
        unforeseen = UnforeseenError(
            f"{type(error).__name__} {state}: {where}",
            code=" ".join(filter(None, (state, error.diag.constraint_name))),
        )
        raise unforeseen.with_traceback(error.__traceback__) from None

    def _tell(self, error: psycopg.Error, *, away: bool) -> None:
        """Logs that the database did not do something; that it is away once, when an outage begins."""
        if not (away and self._away):
            log.warning("database: %s (%s)", type(error).__name__, error.sqlstate or "no answer")
        self._away = self._away or away

    def _is_back(self) -> None:
        self._away = False
        log.info("database: it answers again")

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.close()


async def _commit(connection: Connection) -> None:
    cursor = await connection.execute("COMMIT")
    if cursor.statusmessage == "ROLLBACK":
        raise AssertionError("an error of the database was caught inside a transaction")


def _died(error: psycopg.Error, connection: Connection | None) -> bool:
    """Returns whether the connection, perhaps long idle in the pool, was ended from the other side."""
    if connection is None:
        return False  # there was none to be had
    state = error.sqlstate
    return (connection.closed and state is None) or (state or "").startswith(_SERVER_ENDS)
