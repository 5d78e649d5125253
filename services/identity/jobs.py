"""Identity's jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

from services.common.db import Database
from services.common.housekeeping import repeat
from services.common.jobs import Task
from services.identity import queries
from services.identity.clients import MemberEventsClient
from services.identity.commands.mark_delivered import mark_delivered
from services.identity.commands.register_member import DELIVER_JOB
from services.identity.commands.send_otp import forget_old_otps


def tasks(db: Database, events: MemberEventsClient) -> Mapping[str, Task]:
    """What identity's worker does, by job name."""

    async def deliver_member_events(service: str, member_id: str) -> None:
        """Tells a service all that it has not heard of a member, in order."""
        member = UUID(member_id)
        for event in await db.read(queries.undelivered_events, service, member):
            await events.apply(service, member, event)
            await db.run(mark_delivered, service=service, member_id=member, version=event.version)

    return {DELIVER_JOB: deliver_member_events}


def loops(db: Database) -> list[Callable[[], Awaitable[None]]]:
    """What identity's worker does again and again."""
    return [partial(repeat, 60, partial(db.run, forget_old_otps))]
