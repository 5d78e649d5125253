"""Which vouchers' quantity has changed, told to all processes by Redis.

It is a hint and never the truth: a message names vouchers, and who watches one reads it. What gets lost
while Redis is away is found by those who watch, who look every few seconds anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from uuid import UUID

import redis.asyncio as redis
from redis.exceptions import RedisError

from services.common.cache import Redis, RedisAwayError

_CHANNEL = "vouchers:quantity"
_REST_SECONDS = 0.1
"""A flash sale changes a voucher a thousand times a second; ten messages a second tell it."""
_ID_BYTES = 16
_CONNECT_SECONDS = 1.0
_AGAIN_SECONDS = 1.0


class QuantityChanges:
    """Tells changes, and listens to those of all processes."""

    def __init__(self, cache: Redis, url: str) -> None:
        self._cache = cache
        self._url = url
        self._waiting: set[UUID] = set()
        self._telling: asyncio.Task[None] | None = None

    def tell(self, voucher_ids: Collection[UUID]) -> None:
        """Tells that these have changed, soon: the caller neither waits for Redis nor fails with it."""
        self._waiting.update(voucher_ids)
        if self._waiting and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        while self._waiting:
            changed, self._waiting = self._waiting, set()
            message = b"".join(voucher_id.bytes for voucher_id in changed)
            with contextlib.suppress(RedisAwayError):
                await self._cache.call(self._cache.client.publish(_CHANNEL, message))
            await asyncio.sleep(_REST_SECONDS)

    async def heard(self) -> AsyncIterator[Collection[UUID] | None]:
        """Yields which have changed, for ever; None when it may be any of them, for messages were lost."""
        while True:
            try:
                async for message in self._messages():
                    yield message
            except (RedisError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _messages(self) -> AsyncIterator[Collection[UUID] | None]:
        # A connection of its own: that of a subscription does nothing else, and may be silent for long.
        client = redis.Redis.from_url(
            self._url, socket_connect_timeout=_CONNECT_SECONDS, socket_keepalive=True
        )
        async with client, client.pubsub() as subscription:
            await subscription.subscribe(_CHANNEL)
            async for message in subscription.listen():
                # It is told of each subscription, also of those made anew after a connection was lost.
                yield _voucher_ids(message["data"]) if message["type"] == "message" else None

    async def close(self) -> None:
        """Forgets what was not told."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling


def _voucher_ids(message: bytes) -> Collection[UUID]:
    whole = len(message) - len(message) % _ID_BYTES
    return {UUID(bytes=message[at : at + _ID_BYTES]) for at in range(0, whole, _ID_BYTES)}
