"""An identity service of the test's own, with a database that holds what the test put there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import redis.asyncio as redis

from services.common.channels import open_channel
from services.common.db import Database
from services.common.server import RunningService
from services.identity.parts import open_database
from services.identity.server import compose
from tests.databases import new_database
from tests.inprocess import Platform

_PARTS = 15
_redis_parts: dict[str, int] = {}


@dataclass
class OwnIdentity:
    """The servers, which share the database, and the database."""

    channels: list[grpc.aio.Channel]
    database: Database
    database_url: str

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to the first server."""
        return self.channels[0]


def redis_url(platform: Platform, database_url: str) -> str:
    """Returns the part of Redis that belongs to a database."""
    return f"{platform.redis_url.rpartition('/')[0]}/{_redis_parts[database_url]}"


@asynccontextmanager
async def own_identity(
    platform: Platform, *, servers: int = 1, database_url: str = "", **settings: object
) -> AsyncIterator[OwnIdentity]:
    """Starts servers at once on a new database, or on that of another one, and stops them."""
    if not database_url:
        database_url = await new_database(platform.postgres, "identity")
    # Redis holds what is true of one database, so each has a part of it for itself, one of its sixteen.
    if database_url not in _redis_parts:
        _redis_parts[database_url] = len(_redis_parts) % _PARTS + 1
        async with redis.from_url(redis_url(platform, database_url)) as client:
            await client.flushdb()
    changes = {
        "database_url": database_url,
        "redis_url": redis_url(platform, database_url),
        "listen": "127.0.0.1:0",
        **settings,
    }
    changed = platform.settings["identity"].model_copy(update=changes)
    async with AsyncExitStack() as stack:
        composed = [compose(changed) for _ in range(servers)]
        services = await asyncio.gather(*map(stack.enter_async_context, composed))
        own = OwnIdentity([], open_database(changed), database_url)
        stack.push_async_callback(own.database.close)
        for service in services:
            running = RunningService(service, changed)
            port = await running.start()
            stack.push_async_callback(running.stop)
            own.channels.append(open_channel(f"ipv4:127.0.0.1:{port}"))
            stack.push_async_callback(own.channels[-1].close)
        yield own
