"""Does the jobs and chores of vouchers."""

from __future__ import annotations

import asyncio

from services.common.worker import run_worker
from services.vouchers import jobs
from services.vouchers.parts import build
from services.vouchers.settings import Settings


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs and sweeps orders until `stop` is set."""

    async with build(settings) as parts:
        await run_worker(settings.database_url, jobs.tasks(parts), stop, loops=jobs.loops(parts))
        await parts.saga.drain()
