"""Identity's jobs and chores."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

from services.common.housekeeping import repeat
from services.common.jobs import Task
from services.common.legacy_db import Connection, Database
from services.common.outbox import OUTBOX_JOB, RETRY_SECONDS, Sender, retry_set_aside, send_outbox_task
from services.identity import events
from services.identity.keys.keys import SigningKeys, rotate_when_due
from services.identity.keys.secrets_at_rest import Vault
from services.identity.logins.commands.end_sessions import forget_old_sessions
from services.identity.logins.tokens import LONGEST_TOKEN_SECONDS
from services.identity.otp.commands.end_otp_delivery import (
    count_failed_try,
    end_otp_delivery,
    fail_late_deliveries,
    fail_otp_delivery,
)
from services.identity.otp.commands.send_otp import forget_old_otps
from services.identity.otp.queries import OtpDelivery, otp_delivery
from services.identity.otp.sender import SEND_JOB
from services.identity.otp.transports import OtpMessage, SendError, Transport
from services.identity.settings import Settings

log = logging.getLogger(__name__)

_ROUNDS = 100
"""At most so many batches at a time: more than may come in between."""


def tasks(
    db: Database, send_member_event: Sender, vault: Vault, transport: Transport, otp_text: str
) -> Mapping[str, Task]:
    """What identity's worker does, by job name."""

    async def send_otp(otp_id: str) -> None:
        """Sends a code that is still good, and forgets it. A worker that dies in between sends it again."""
        one = UUID(otp_id)
        delivery = await db.read(otp_delivery, one)
        if delivery is None:
            return
        if not delivery.used:
            if not delivery.minutes:
                log.warning("one-time password %s could not be sent in time", otp_id)
                await db.run(fail_otp_delivery, one)
                return
            try:
                await hand_over(one, delivery)
            except Exception as error:
                why = str(error) if isinstance(error, SendError) else "an error of our own; see the log"
                await db.run(count_failed_try, one, why)
                raise
        await db.run(end_otp_delivery, one)

    async def hand_over(otp_id: UUID, delivery: OtpDelivery) -> None:
        code = vault.decrypt(delivery.sealed_code).decode()
        words = otp_text.format(code=code, minutes=delivery.minutes)
        await transport.send(OtpMessage(otp_id, delivery.recipient, words))

    send_outbox = send_outbox_task(db, {events.TOPIC: send_member_event})
    return {OUTBOX_JOB: send_outbox, SEND_JOB: send_otp}


async def forget_all(db: Database, forget: Callable[[Connection], Awaitable[int]]) -> None:
    """Forgets batch after batch, each in a transaction of its own, until nothing is left to be forgotten."""
    for _ in range(_ROUNDS):
        if not await db.run(forget):
            return


def loops(
    db: Database, vault: Vault, keys: SigningKeys, settings: Settings
) -> list[Callable[[], Awaitable[None]]]:
    """What identity's worker does again and again."""
    rotate = partial(
        db.run,
        rotate_when_due,
        vault,
        lead_seconds=settings.key_lead_seconds,
        rotation_days=settings.key_rotation_days,
        token_seconds=LONGEST_TOKEN_SECONDS,  # and not that of the settings, which may have been others
    )
    return [
        partial(repeat, 60, partial(forget_all, db, fail_late_deliveries)),
        partial(repeat, 60, partial(forget_all, db, forget_old_otps)),
        partial(repeat, 60, partial(forget_all, db, forget_old_sessions)),
        partial(repeat, 60, rotate),
        partial(repeat, 10, keys.refresh),
        partial(repeat, RETRY_SECONDS, partial(retry_set_aside, db)),
    ]
