"""A service of a test's own: with other settings, and a database that nothing else writes to."""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from services.common.channels import open_channel
from services.common.db import Database
from services.common.server import RunningService
from tests.databases import new_database
from tests.inprocess import Platform
from tests.waiting import eventually


@dataclass(frozen=True)
class Own:
    """How it is reached, and its database."""

    channel: grpc.aio.Channel
    database: Database
    database_url: str


@asynccontextmanager
async def own_service(platform: Platform, name: str, **settings: object) -> AsyncIterator[Own]:
    """Starts a service on a new database, and stops it. It has no worker, and gets no member events."""
    url = await new_database(platform.postgres, name)
    changes = {"database_url": url, "listen": "127.0.0.1:0", "database_pool_size": 5, **settings}
    changed = platform.settings[name].model_copy(update=changes)
    server = importlib.import_module(f"services.{name}.server")
    parts = importlib.import_module(f"services.{name}.parts")
    async with AsyncExitStack() as stack:
        running = RunningService(await stack.enter_async_context(server.compose(changed)), changed)
        port = await running.start()
        stack.push_async_callback(running.stop)
        channel = open_channel(f"ipv4:127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        database = parts.open_database(changed)
        stack.push_async_callback(database.close)
        await eventually(lambda: _serves(channel))
        yield Own(channel, database, url)


async def _serves(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest())
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def environment(platform: Platform, name: str, database_url: str) -> dict[str, str]:
    """Returns the environment of a process of a service that uses this database."""
    made = dict(os.environ)
    settings = platform.settings[name].model_copy(update={"database_url": database_url})
    for setting, value in settings:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(plain, str | int | float | bool):
            made[f"SCRIP_{setting.upper()}"] = (
                plain if isinstance(plain, str) else orjson.dumps(plain).decode()
            )
    for service, target in platform.targets.items():
        made[f"SCRIP_{service.upper()}_TARGET"] = target
    return made
