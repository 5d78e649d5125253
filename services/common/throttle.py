"""Limits on how often something may be tried, counted in Redis in fixed windows.

What is counted, such as a phone number or a network address, is in Redis as a keyed hash alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.cache import Redis, RedisAwayError
from services.common.errors import DomainError, unavailable

_TRIES = 3
_PAUSE_SECONDS = 0.02
_MOST_HERE = 10_000
_HIT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('TTL', KEYS[1])}
"""
_READ = """
local found = {}
for place, key in ipairs(KEYS) do
  found[place] = {tonumber(redis.call('GET', key) or '0'), redis.call('TTL', key)}
end
return found
"""


@dataclass(frozen=True)
class Limit:
    """At most `count` hits per key in `seconds`.

    `open_when_away` decides what happens while Redis is away: each process counts for itself, or refuses all.
    """

    name: str
    count: int
    seconds: int
    open_when_away: bool = False


class Throttle:
    """Counts hits against limits. Processes that have the same `secret` count together."""

    def __init__(self, server: Redis, secret: bytes) -> None:
        self._server = server
        self._key = hashlib.sha256(b"scrip:throttle:" + secret).digest()
        self._script = server.client.register_script(_HIT)
        self._reading = server.client.register_script(_READ)
        self._here: dict[tuple[str, str], tuple[int, float]] = {}

    def name_of(self, limit: Limit, key: str) -> str:
        """Returns under which name Redis counts: without the secret nobody can tell what was counted."""
        digest = hmac.digest(self._key, f"{limit.name}:{key}".encode(), hashlib.sha256)
        return f"throttle:{limit.name}:{digest[:16].hex()}"

    async def hit(self, limit: Limit, key: str) -> int:
        """Counts one hit. Raises TOO_MANY_REQUESTS beyond the limit.

        Returns after how many seconds the next one is within it: 0 for at once.
        """
        count, seconds = await self._count(limit, key, 1)
        return max(1, seconds) if count >= limit.count else 0

    async def check(self, limit: Limit, key: str) -> None:
        """Raises TOO_MANY_REQUESTS when the limit was reached before; counts nothing."""
        await self._count(limit, key, 0)

    async def reached(self, keys: Sequence[tuple[Limit, str]]) -> list[DomainError | None]:
        """Returns for each TOO_MANY_REQUESTS if its limit was reached before, in one call; counts nothing.

        For limits that are open when Redis is away.
        """
        if not keys:
            return []
        try:
            names = [self.name_of(limit, key) for limit, key in keys]
            reply = await self._server.call(self._reading(keys=names))
            found = [(int(count), int(seconds)) for count, seconds in reply]
        except RedisAwayError:
            found = [self._count_here(limit, key, 0) for limit, key in keys]
        return [
            _too_many(limit, seconds) if count >= limit.count else None
            for (limit, _), (count, seconds) in zip(keys, found, strict=True)
        ]

    async def forget(self, limit: Limit, key: str) -> bool:
        """Forgets all hits; returns whether there were any. Raises RedisAwayError."""
        return bool(await self._server.call(self._server.client.delete(self.name_of(limit, key))))

    async def _count(self, limit: Limit, key: str, hits: int) -> tuple[int, int]:
        counted = await self._ask(limit, key, hits)
        if counted is None:
            if not limit.open_when_away:
                raise unavailable("redis")
            counted = self._count_here(limit, key, hits)
        count, seconds = counted
        if count > limit.count or (hits == 0 and count >= limit.count):
            raise _too_many(limit, seconds)
        return count, int(seconds)

    def _count_here(self, limit: Limit, key: str, hits: int) -> tuple[int, int]:
        now = time.monotonic()
        count, ends = self._here.get((limit.name, key), (0, 0.0))
        if ends <= now:
            count, ends = 0, now + limit.seconds
        if hits:
            if len(self._here) >= _MOST_HERE:
                self._here.clear()
            self._here[limit.name, key] = (count + hits, ends)
        return count + hits, math.ceil(ends - now)

    async def _ask(self, limit: Limit, key: str, hits: int) -> tuple[int, int] | None:
        """Returns count and seconds left, or None when Redis is away.

        Where that refuses the call, one late reply must not: it is asked three times.
        """
        for _ in range(1 if limit.open_when_away else _TRIES):
            try:
                reply = await self._server.call(
                    self._script(keys=[self.name_of(limit, key)], args=[limit.seconds, hits])
                )
            except RedisAwayError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            return int(reply[0]), int(reply[1])
        return None


def _too_many(limit: Limit, seconds: int) -> DomainError:
    wait = max(1, seconds)
    return DomainError(
        "TOO_MANY_REQUESTS",
        f"too many tries; wait {wait} s",
        retry_after=wait,
        limit=limit.name,
        retry_after_seconds=wait,
    )
