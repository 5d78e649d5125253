"""Connections to PostgreSQL, kept to be used again.

psycopg_pool connects in the background, so a call can not distinguish a server that is away from a pool
that is busy: it waits for a time in both cases. Here a call connects by itself when no connection is at
hand, and fails at once with what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from services.common.errors import overloaded

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[Any]

WAIT_SECONDS = 5.0
"""How long a call waits for a connection that others use."""
_CONNECT_SECONDS = 3
_AT_REST = (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)
_SESSION = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=15s"


class Pool:
    """At most `size` connections in autocommit. The one used last is used first."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    async def acquire(self) -> Connection:
        """Returns a connection of the caller's own until `release`.

        Raises OVERLOADED when others keep all of them for 5 s, and psycopg.OperationalError when the server
        can not be reached.
        """
        if self._free.locked():
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._free.acquire()
            except TimeoutError as error:
                raise overloaded("database") from error
        else:
            await self._free.acquire()
        if self._idle:
            return self._idle.pop()
        try:
            return await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS, options=_SESSION
            )
        except BaseException:
            self._free.release()
            raise

    async def release(self, connection: Connection) -> None:
        """Takes a connection back, and rolls back what was left open. One that is broken is closed."""
        try:
            if connection.pgconn.transaction_status not in _AT_REST:
                await connection.rollback()
        except BaseException as error:
            await connection.close()
            if not isinstance(error, psycopg.Error):
                raise
        finally:
            if self._closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await connection.close()
            else:
                self._idle.append(connection)
            self._free.release()

    async def discard_idle(self) -> None:
        """Closes what is idle. After one connection was ended from the other side, all may have been."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def close(self) -> None:
        """Closes all connections; those in use when they are released."""
        self._closed = True
        await self.discard_idle()
