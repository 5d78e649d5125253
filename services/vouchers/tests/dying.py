"""A vouchers service that kills itself before the statement of one's choice; see `tests/dying.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.vouchers import jobs
from services.vouchers.catalogue.code_stock import ENSURE_CODES_JOB
from services.vouchers.gifts.commands import ADVANCE_JOB
from services.vouchers.parts import build
from services.vouchers.server import compose
from services.vouchers.settings import Settings
from tests.dying import Begun, serve

_TURNS = 100


@asynccontextmanager
async def _begin() -> AsyncIterator[Begun]:
    settings = Settings().model_copy(update={"listen": "127.0.0.1:0"})  # type: ignore[call-arg]  # environment
    async with build(settings) as parts, compose(settings) as service:

        async def sweep(_: object) -> None:
            """Takes over what nobody works on, as the worker does, and finishes it."""
            await parts.payments.sweep()
            await parts.saga.sweep()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            await parts.saga.drain()

        async def give_back(_: object) -> None:
            await parts.gifts.return_overdue()

        tasks = jobs.tasks(parts.db, parts.peers, parts.codes, parts.gifts, parts.recipients)
        commands = {"codes": tasks[ENSURE_CODES_JOB], "advance": tasks[ADVANCE_JOB]}
        yield Begun(service, settings, {**commands, "sweep": sweep, "give_back": give_back})


if __name__ == "__main__":
    serve(_begin)
