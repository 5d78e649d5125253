"""Redis, a gate and a cache: it may vanish at any moment, and nothing is lost or wrong.

Every call has 50 ms, or what a setting says. After five failures in a row Redis is left alone for a second.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

T = TypeVar("T")

CALL_SECONDS = 0.05
_CONNECTIONS = 16
_FAILURES = 5
_PAUSE_SECONDS = 1.0
_MOST_UNWRITTEN = 10_000
_WRITE_LATER_SECONDS = 0.2
_NEVER = 0
"""A time of writing that nobody believes."""

_SET_IF_NEWER = """
for i = 1, #KEYS do
  local held = redis.call('GET', KEYS[i])
  local version = tonumber(ARGV[2 * i])
  if not held or tonumber(string.match(held, '^(%d+):')) <= version then
    redis.call('SET', KEYS[i], ARGV[2 * i] .. ':' .. ARGV[2 * i + 1], 'EX', ARGV[1])
  end
end
"""


class RedisAwayError(Exception):
    """Redis does not answer. Callers go on without it, or refuse where it is the gate."""


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
        self._trusted_from = time.time_ns()
        self.set_if_newer = self._client.register_script(_SET_IF_NEWER)  # loaded on first use

    @property
    def client(self) -> redis.Redis:
        """The client beneath, whose calls go through `call`."""
        return self._client

    @property
    def trusted_from(self) -> int:
        """Since when (Unix time in ns) every call was answered: a write before that may have been missed."""
        return self._trusted_from

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
        if time.monotonic() < self._closed_until:
            _discard(reply)
            self._trusted_from = time.time_ns()
            raise RedisAwayError
        try:
            result = await reply
        except (RedisError, OSError, TimeoutError) as error:
            self._failures += 1
            self._trusted_from = time.time_ns()
            if self._failures >= _FAILURES:
                self._closed_until = max(self._closed_until, time.monotonic() + _PAUSE_SECONDS)
            raise RedisAwayError from error
        self._failures = 0
        return result

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


class VersionedCache:
    """Values that carry a version: an older one never replaces a newer one, and each lives 60 s.

    A value that could not be written voids what is older as soon as Redis answers. Until then, and for what
    other processes may have failed to write, nothing is believed that is older than the last failure. The
    value itself is not written then: a newer one may have come meanwhile, and have gone with a restart.
    """

    def __init__(self, server: Redis, prefix: str, *, seconds: int = 60) -> None:
        self._server = server
        self._prefix = prefix
        self._seconds = seconds
        self._unwritten: dict[str, int] = {}
        self._writing: asyncio.Task[None] | None = None

    async def get(self, key: str) -> str | None:
        """The value, or None when there is none to be believed or Redis is away."""
        return (await self.get_all([key]))[0]

    async def get_all(self, keys: Sequence[str]) -> list[str | None]:
        """The value of each key in one question, or None as above."""
        wanted = [key not in self._unwritten for key in keys]
        try:
            found = await self._server.call(self._server.client.mget([self._prefix + key for key in keys]))
        except RedisAwayError:
            return [None] * len(keys)
        trusted_from = self._server.trusted_from
        values: list[str | None] = []
        for believed, held in zip(wanted, found, strict=True):
            _, written_at, value = cast(bytes, held).decode().split(":", 2) if held else ("", "0", "")
            values.append(value if believed and held and int(written_at) >= trusted_from else None)
        return values

    async def held(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Version and value of what Redis holds for these keys, to be believed or not; not what is void.

        Raises RedisAwayError when it does not answer.
        """
        names = [self._prefix + key for key in keys]
        found = await self._server.call(self._server.client.mget(names)) if names else []
        parts = {
            key: cast(bytes, value).decode().split(":", 2)
            for key, value in zip(keys, found, strict=True)
            if value is not None
        }
        return {
            key: (int(version), value)
            for key, (version, written_at, value) in parts.items()
            if int(written_at) != _NEVER
        }

    async def put(self, entries: Iterable[tuple[str, int, str]]) -> None:
        """Sets (key, version, value) each, unless a newer version is there."""
        given = list(entries)
        if not given or await self._write(given, time.time_ns()):
            return
        for key, version, _ in given:
            if len(self._unwritten) < _MOST_UNWRITTEN:
                self._unwritten[key] = max(version, self._unwritten.get(key, version))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._void_later())

    async def _write(self, entries: Iterable[tuple[str, int, str]], written_at: int) -> bool:
        keys: list[str] = []
        arguments: list[str | int] = [self._seconds]
        for key, version, value in entries:
            keys.append(self._prefix + key)
            arguments += [version, f"{written_at}:{value}"]
        try:
            await self._server.call(self._server.set_if_newer(keys=keys, args=arguments))
        except RedisAwayError:
            return False
        return True

    async def _void_later(self) -> None:
        """Voids what is older than what could not be written, for as long as it may still be there."""
        until = time.monotonic() + self._seconds
        while self._unwritten and time.monotonic() < until:
            await asyncio.sleep(_WRITE_LATER_SECONDS)
            waiting = dict(self._unwritten)
            if await self._write(((key, version, "") for key, version in waiting.items()), _NEVER):
                for key, version in waiting.items():
                    if self._unwritten.get(key) == version:
                        del self._unwritten[key]
        self._unwritten.clear()


class Flags:
    """Short-lived marks, set after the database said so."""

    def __init__(self, server: Redis, prefix: str, *, seconds: int = 1) -> None:
        self._server = server
        self._prefix = prefix
        self._seconds = seconds

    async def is_set(self, key: str) -> bool:
        """Whether the mark stands; no when Redis is away."""
        try:
            return bool(await self._server.call(self._server.client.exists(self._prefix + key)))
        except RedisAwayError:
            return False

    async def set(self, key: str) -> None:
        """Sets the mark."""
        try:
            await self._server.call(self._server.client.set(self._prefix + key, "1", ex=self._seconds))
        except RedisAwayError:
            return

    async def clear(self, key: str) -> None:
        """Takes the mark away."""
        try:
            await self._server.call(self._server.client.delete(self._prefix + key))
        except RedisAwayError:
            return
