"""A points service of the test's own, with other settings and a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from services.common.db import Database
from services.points.tests.support import Points
from tests import own_service as own_services
from tests.inprocess import Platform


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
    async with own_services.own_service(platform, "points", **settings) as own:
        till, vouchers = await platform.till(), await platform.service_token("vouchers")
        yield OwnService(platform, till, vouchers, own.channel, own.database, own.database_url)
