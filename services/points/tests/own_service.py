"""A points service of the test's own, with other settings and a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import migrations
from services.common.channels import open_channel
from services.common.db import Database
from services.common.ids import new_id
from services.common.server import RunningService
from services.points.parts import open_database
from services.points.server import compose
from services.points.tests.support import Points
from tests.inprocess import Platform, eventually


@dataclass
class OwnService(Points):
    """Points with settings of the test's own."""

    own_channel: grpc.aio.Channel
    own_database: Database
    database_url: str

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to this service."""
        return self.own_channel

    @property
    def database(self) -> Database:
        """The database of this service."""
        return self.own_database


@asynccontextmanager
async def own_service(platform: Platform, **settings: object) -> AsyncIterator[OwnService]:
    """Starts the service on a new database, and stops it. It gets no member events by itself."""
    name = f"own_{new_id().hex}"
    platform.postgres.create_database(name)
    database_url = platform.postgres.url(name)
    await asyncio.to_thread(migrations.upgrade, "points", database_url)
    changes = {"database_url": database_url, "listen": "127.0.0.1:0", "database_pool_size": 5, **settings}
    changed = platform.settings["points"].model_copy(update=changes)
    async with AsyncExitStack() as stack:
        running = RunningService(await stack.enter_async_context(compose(changed)), changed)
        port = await running.start()
        stack.push_async_callback(running.stop)
        channel = open_channel(f"ipv4:127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        database = open_database(changed)
        stack.push_async_callback(database.close)
        till, vouchers = await platform.till(), await platform.service_token("vouchers")
        own = OwnService(platform, till, vouchers, channel, database, database_url)
        await eventually(lambda: _serves(own))
        yield own


async def _serves(own: OwnService) -> None:
    stub: Any = health_pb2_grpc.HealthStub(own.channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest())
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
