"""A promos service of the test's own, with a database of its own and no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from services.promos.codes.commands.make_codes import make_codes
from services.promos.tests.support import Promos
from tests import own_service as own_services
from tests.inprocess import Platform


@dataclass
class OwnPromos(Promos):
    """Promos with a database of the test's own."""

    database_url: str

    @property
    def url(self) -> str:
        """The address of its database."""
        return self.database_url

    async def until_made(self, code_set_id: UUID, ready: int) -> None:
        """Makes the codes that a set lacks, as the worker does."""
        while await self.db.run(make_codes, code_set_id):
            pass
        assert await self.ready(code_set_id) == ready


@asynccontextmanager
async def own_promos(platform: Platform) -> AsyncIterator[OwnPromos]:
    """Starts the service on a new database, and stops it. It gets no member events by itself."""
    async with own_services.own_service(platform, "promos") as own:
        yield OwnPromos(
            platform,
            own.channel,
            own.database,
            await platform.admin(),
            await platform.till(),
            await platform.service_token("vouchers"),
            await platform.service_token("identity"),
            own.database_url,
        )
