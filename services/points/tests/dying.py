"""A points service that kills itself before the statement of one's choice; see `tests/dying.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.points.adjustments import Importer
from services.points.earning import rule_book
from services.points.ledger import expire_due
from services.points.parts import build
from services.points.server import compose
from services.points.settings import Settings
from tests.dying import Begun, serve


@asynccontextmanager
async def _begin() -> AsyncIterator[Begun]:
    settings = Settings().model_copy(update={"listen": "127.0.0.1:0"})  # type: ignore[call-arg]  # environment
    rule_book._REFRESH_SECONDS = 3_600.0  # nothing but the write under test sends statements
    async with build(settings) as parts, compose(settings) as service:
        importer = Importer(parts.db, parts.balances, parts.programme)

        async def expire(_: object) -> None:
            await expire_due(parts.db, parts.balances.void)

        yield Begun(service, settings, {"run_import": importer.run, "expire": expire})


if __name__ == "__main__":
    serve(_begin)
