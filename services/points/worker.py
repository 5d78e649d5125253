"""Does the jobs and chores of points."""

from __future__ import annotations

import asyncio

from services.common.worker import run_worker
from services.points import jobs
from services.points.adjustments import Importer
from services.points.parts import build
from services.points.settings import Settings


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs until `stop` is set."""
    async with build(settings) as parts:
        importer = Importer(parts.db, parts.balances, parts.programme)
        await run_worker(
            settings.database_url,
            jobs.tasks(parts.db, parts.peers, importer),
            stop,
            queues=jobs.QUEUES,
            loops=jobs.loops(parts.db, parts.balances),
        )
