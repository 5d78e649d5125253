"""Redis, a gate and a cache: it may vanish at any moment, and nothing is lost or wrong.

Every call has 50 ms, or what a setting gives. After five failures in a row Redis is left alone for a second;
then one call tries it, and until that has a reply the others go on without Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis.asyncio as redis
from redis.exceptions import RedisError

T = TypeVar("T")

CALL_SECONDS = 0.05
_CONNECTIONS = 16
_FAILURES = 5
_PAUSE_SECONDS = 1.0


class RedisAwayError(Exception):
    """Redis does not reply. Callers go on without it, or refuse where it is the gate."""


class Redis:
    """A Redis server behind a breaker. Each call has so many seconds, waiting for this process included."""

    def __init__(self, url: str, seconds: float = CALL_SECONDS) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            max_connections=_CONNECTIONS,
            retry=None,
            redis_connect_func=self._on_connect,
        )
        self._slots = asyncio.Semaphore(_CONNECTIONS)  # a crowd waits here, it is not a failure
        self._run_id = ""
        self._failures = 0
        self._closed_until = 0.0

    @property
    def client(self) -> redis.Redis:
        """The client beneath, whose calls go through `call`."""
        return self._client

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed_until == math.inf

    @property
    def away(self) -> bool:
        """Whether a call would now find Redis away, without trying."""
        return time.monotonic() < self._closed_until

    async def call(self, reply: Awaitable[T]) -> T:
        """Awaits a reply of the client. Raises RedisAwayError when there is none in time."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            _discard(reply)
            raise
        try:
            return await self._guarded(reply)
        finally:
            self._slots.release()

    async def _guarded(self, reply: Awaitable[T]) -> T:
        if self.away:
            _discard(reply)
            raise RedisAwayError
        if self._failures >= _FAILURES:
            self._leave_alone()  # the others, while this call tries
        try:
            result = await reply
        except (RedisError, OSError, TimeoutError) as error:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._leave_alone()
            raise RedisAwayError from error
        self._failures = 0
        if not self.closed:
            self._closed_until = 0.0
        return result

    def _leave_alone(self) -> None:
        self._closed_until = max(self._closed_until, time.monotonic() + _PAUSE_SECONDS)

    async def call_in_run(self, command: Callable[[str], Awaitable[T]]) -> T:
        """Awaits a command for keys that name the server's run, whose id is its argument.

        A server that was restarted may hold what an old snapshot held, under the ids of older runs. Each
        new connection learns the id, so a command that met a restart is known by the id that changed
        meanwhile, and is given once more; it must be one that may be.
        """
        return await self.call(self._in_run(command))

    async def _in_run(self, command: Callable[[str], Awaitable[T]]) -> T:
        if not self._run_id:
            await self._client.ping()  # connects, and so learns it
        for _ in range(2):
            run_id = self._run_id
            result = await command(run_id)
            if run_id == self._run_id:
                return result
        raise redis.ConnectionError("the server was restarted twice")

    async def close(self) -> None:
        """Closes all connections when the calls under way have ended; later ones find Redis away."""
        self._closed_until = math.inf
        for _ in range(_CONNECTIONS):
            await self._slots.acquire()
        with contextlib.suppress(RedisError):  # one that ends too slowly has been let go
            await self._client.aclose()
        for _ in range(_CONNECTIONS):
            self._slots.release()

    async def _on_connect(self, connection: redis.Connection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        reply = await connection.read_response()
        text = reply.decode() if isinstance(reply, bytes) else str(reply)
        self._run_id = text.partition("run_id:")[2].partition("\r")[0]


def _discard(reply: Awaitable[object]) -> None:
    close = getattr(reply, "close", None)
    if close:
        close()
