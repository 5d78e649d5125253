"""The database: transactions with bounded retries, and constraints that become domain errors."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.common.errors import DomainError, overloaded, unavailable

log = logging.getLogger(__name__)

Connection = AsyncConnection
Constraints = Mapping[str, Callable[[], DomainError]]
"""The domain error for each constraint whose violation a caller can cause."""

P = ParamSpec("P")
T = TypeVar("T")

_TRIES = 4
_POOL_SECONDS = 5
_RETRIED_STATES = ("40001", "40P01")  # serialization failure, deadlock: the transaction changed nothing
_UNTRANSLATABLE = "22P05"
_SERVER_ENDS = "57P"  # states with which a server that stops ends its connections
_SESSION = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=15s"


class Database:
    """A service's own database.

    `run` and `read` take a command or query and its arguments, so that they can be repeated whole.
    """

    def __init__(self, url: str, *, pool_size: int, constraints: Constraints | None = None) -> None:
        self._engine = create_async_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            connect_args={"options": _SESSION, "connect_timeout": 3},
            hide_parameters=True,  # lest names, numbers and hashes get into the log with an unforeseen error
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._constraints = constraints or {}

    async def run(
        self, command: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a command in a transaction of its own and commits.

        A transaction that lost a conflict is run again, four times in all. Raises the domain error of
        a violated constraint, and DEPENDENCY_UNAVAILABLE when the database does not answer.
        """
        for attempt in range(_TRIES):
            try:
                async with self._engine.begin() as connection:
                    return await command(connection, *args, **kwargs)
            except exc.DBAPIError as error:
                await self._judge(error, attempt)
            except psycopg.Error as error:
                raise unavailable("database") from error
            except exc.TimeoutError as error:
                raise overloaded("database") from error
        raise AssertionError("the last attempt returns or raises")

    async def read(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a query without a transaction: one round trip, and each statement sees what is committed."""
        for attempt in range(_TRIES):
            try:
                async with self._autocommit.connect() as connection:
                    return await query(connection, *args, **kwargs)
            except exc.DBAPIError as error:
                await self._judge(error, attempt)
            except psycopg.Error as error:
                raise unavailable("database") from error
            except exc.TimeoutError as error:
                raise overloaded("database") from error
        raise AssertionError("the last attempt returns or raises")

    async def _judge(self, error: exc.DBAPIError, attempt: int) -> None:
        """Returns when the work shall be repeated, else raises what the caller shall see."""
        original = error.orig
        state = original.sqlstate if isinstance(original, psycopg.Error) else None
        last = attempt + 1 == _TRIES
        if isinstance(error, exc.IntegrityError) and isinstance(original, psycopg.Error):
            known = self._constraints.get(original.diag.constraint_name or "")
            if known:
                raise known() from error
        if state in _RETRIED_STATES and not last:
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # jitter
            return
        if isinstance(error, exc.DataError) and state in (None, _UNTRANSLATABLE):
            # A NUL character, which PostgreSQL can not store: the driver refuses it, or the database in JSON.
            message = "a text holds a character that can not be stored"
            raise DomainError("VALIDATION_FAILED", message) from error
        if _connection_died(error, state) and not last and not _may_have_committed(error):
            return  # a restart or failover ended the connection: nothing was changed
        if isinstance(error, exc.OperationalError) or state in _RETRIED_STATES:
            log.warning("database: %s", original)
            raise unavailable("database") from error
        raise error

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def _connection_died(error: exc.DBAPIError, state: str | None) -> bool:
    """Whether the connection, perhaps long idle in the pool, was ended from the other side."""
    return error.connection_invalidated and (state is None or state.startswith(_SERVER_ENDS))


def _may_have_committed(error: exc.DBAPIError) -> bool:
    """Whether the fault came at COMMIT, when the outcome is unknown."""
    return error.statement is None


async def driver_connection(connection: Connection) -> psycopg.AsyncConnection[object]:
    """The psycopg connection beneath, for what must share its transaction."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, psycopg.AsyncConnection)
    return raw
