"""Does the jobs and chores of identity."""

from __future__ import annotations

import asyncio

from services.common.cache import Redis
from services.common.channels import open_channel
from services.common.jobs import DEFAULT_QUEUE
from services.common.sessions import SessionCache
from services.common.worker import run_worker
from services.identity import jobs
from services.identity.events import EVENT_QUEUES
from services.identity.events.client import member_event_sender
from services.identity.messages import NOTICE_QUEUE
from services.identity.messages.transports import open_transport
from services.identity.otp import SEND_QUEUE
from services.identity.parts import build
from services.identity.sessions import Logins
from services.identity.settings import Settings

OTPS_AT_A_TIME = 20
"""One-time passwords that a worker sends at a time."""
NOTICES_AT_A_TIME = 4
"""Notices to members that a worker sends at a time."""
EVENTS_AT_A_TIME = 4
"""Members whose events a worker sends to a service at a time."""


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs and chores until `stop` is set."""
    async with build(settings) as parts:
        targets = {
            "points": settings.points_target,
            "vouchers": settings.vouchers_target,
            "promos": settings.promos_target,
        }
        channels = {name: open_channel(target) for name, target in targets.items()}
        events = member_event_sender(channels, parts.issuer.own_token)
        tasks = jobs.tasks(parts.db, events, parts.vault, open_transport(settings), settings.otp_text)
        redis = Redis(settings.redis_url, settings.redis_seconds)
        logins = Logins(parts.db, SessionCache(redis))
        # Idle as it mostly is, it renews the lease in time when the servers are too busy, or gone.
        chores = [*jobs.loops(parts.db, parts.vault, parts.keys, settings), logins.keep_lease]
        try:
            queues = {SEND_QUEUE: OTPS_AT_A_TIME, NOTICE_QUEUE: NOTICES_AT_A_TIME}
            queues |= dict.fromkeys(EVENT_QUEUES.values(), EVENTS_AT_A_TIME)
            queues[DEFAULT_QUEUE] = 1  # nothing is put there now
            await run_worker(settings.database_url, tasks, stop, queues=queues, loops=chores)
        finally:
            await redis.close()
            for channel in channels.values():
                await channel.close()
