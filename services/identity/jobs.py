"""Identity's jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from services.common.db import Connection, Database
from services.common.housekeeping import repeat
from services.common.jobs import Task
from services.common.outbox import OUTBOX_JOB, RETRY_SECONDS, Sender, retry_set_aside, send_outbox_task
from services.identity import events
from services.identity.accounts import forget_old_places
from services.identity.keys import LONGEST_TOKEN_SECONDS, SigningKeys, Vault, rotate_when_due
from services.identity.look_ups import forget_old_look_ups
from services.identity.messages import NOTICE_JOB, Transport
from services.identity.messages import jobs as messages
from services.identity.otp import SEND_JOB
from services.identity.otp import jobs as otp
from services.identity.sessions import forget_old_sessions
from services.identity.settings import Settings

_ROUNDS = 100
"""At most so many batches at a time: more than may come in between."""


def tasks(
    db: Database, send_member_event: Sender, vault: Vault, transport: Transport, otp_text: str
) -> Mapping[str, Task]:
    """Returns what identity's worker does, by job name."""

    send_outbox = send_outbox_task(db, {events.TOPIC: send_member_event})
    return {
        OUTBOX_JOB: send_outbox,
        SEND_JOB: otp.SendOtpJob(db, vault, transport, otp_text).run,
        NOTICE_JOB: messages.SendNoticeJob(db, vault, transport).run,
    }


async def forget_all(db: Database, forget: Callable[[Connection], Awaitable[int]]) -> None:
    """Forgets batch after batch, each in a transaction of its own, until nothing is left to be forgotten."""
    for _ in range(_ROUNDS):
        if not await db.run(forget):
            return


def loops(
    db: Database, vault: Vault, keys: SigningKeys, settings: Settings
) -> list[Callable[[], Awaitable[None]]]:
    """Returns what identity's worker does again and again."""
    rotate = partial(
        db.run,
        rotate_when_due,
        vault,
        lead_seconds=settings.key_lead_seconds,
        rotation_days=settings.key_rotation_days,
        token_seconds=LONGEST_TOKEN_SECONDS,  # and not that of the settings, which may have been others
    )
    return [
        *(
            partial(repeat, 60, partial(forget_all, db, forget), name=forget.__name__)
            for forget in (
                *otp.BATCHES,
                *messages.BATCHES,
                forget_old_sessions,
                forget_old_look_ups,
                forget_old_places,
            )
        ),
        partial(repeat, 60, rotate, name="rotating keys"),
        partial(repeat, 10, keys.refresh),
        partial(repeat, RETRY_SECONDS, partial(retry_set_aside, db)),
    ]
