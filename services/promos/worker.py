"""Does the jobs and chores of promos."""

from __future__ import annotations

import asyncio

from services.common.webhooks.dispatcher import Dispatcher
from services.common.webhooks.http_sender import HttpSender
from services.common.worker import run_worker
from services.promos import jobs
from services.promos.parts import build
from services.promos.settings import Settings


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs until `stop` is set."""
    async with build(settings) as parts:
        tasks = jobs.tasks(parts.db, parts.peers)
        sender = HttpSender(settings.webhook_networks)
        dispatcher = Dispatcher(parts.db, sender, parts.sealer, jobs.payloads(parts.db, parts.peers))
        loops = [*jobs.loops(parts.db), dispatcher.run]
        await run_worker(settings.database_url, tasks, stop, loops=loops)
