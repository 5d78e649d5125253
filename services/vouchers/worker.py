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
        tasks = jobs.tasks(parts.db, parts.peers, parts.codes, parts.gifts, parts.recipients)
        loops = jobs.loops(
            parts.db,
            codes=parts.codes,
            saga=parts.saga,
            payments=parts.payments,
            gifts=parts.gifts,
            storage=parts.storage,
        )
        await run_worker(settings.database_url, tasks, stop, loops=loops)
        await parts.saga.drain()
