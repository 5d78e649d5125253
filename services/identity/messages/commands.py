"""Keeping notices to be sent, and the end of sending one: it was sent, a try failed, or it is too late."""

from __future__ import annotations

import logging
from uuid import UUID

from services.common import jobs
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.identity.accounts import Contact, Recipient
from services.identity.keys import Vault
from services.identity.messages.sender import MessageSender, Way
from services.identity.messages.texts import NoticeKind

log = logging.getLogger(__name__)

NOTICE_JOB = "send_notice"
NOTICE_QUEUE = "notices"
"""A queue of its own: what members wait for, their codes, must not wait behind it."""
MOST_A_DAY = 20
"""Notices about one account in 24 hours: a message costs money, and a name can be changed without end."""

NO_WAY = "no way of sending is set up"
STATES = {Way.SANDBOX: "SENT", Way.WORKER: "WAITING", Way.NONE: "FAILED"}
"""In which state a notice is that leaves by a way."""


class Notices:
    """Tells members that their accounts were changed."""

    def __init__(self, vault: Vault, sender: MessageSender) -> None:
        self._vault = vault
        self._sender = sender

    async def tell(
        self, connection: Connection, *, member_id: UUID, kind: NoticeKind, to: Contact, language: str
    ) -> None:
        """Has a notice sent to this number and this address, in the transaction of the change.

        The caller holds the lock of the account's row. A change is never refused because it can not be told:
        beyond 20 in a day, and where no way of sending is set up, it is not.
        """
        for recipient in (Recipient(phone=to.phone), Recipient(email=to.email)):
            if recipient != Recipient():
                await self._keep(connection, member_id, kind, recipient, language)

    async def _keep(
        self, connection: Connection, member_id: UUID, kind: NoticeKind, recipient: Recipient, language: str
    ) -> None:
        notice_id, way = new_id(), self._sender.way_to(recipient)
        kept = await execute(
            connection,
            """
            INSERT INTO notices (
              id, member_id, kind, language, recipient, sealed_recipient, state, last_error
            )
            SELECT
              %(id)s, %(member_id)s, %(kind)s, %(language)s, %(recipient)s, %(sealed)s::bytea, %(state)s,
              %(why)s
            WHERE %(most)s > (
              SELECT count(*) FROM notices
              WHERE member_id = %(member_id)s AND created_at > now() - interval '1 day'
                AND kind <> 'GIFT_OFFERED'
            )
            """,
            id=notice_id,
            member_id=member_id,
            kind=kind,
            language=language,
            recipient=recipient.masked(),
            sealed=self._sealed(recipient) if way is Way.WORKER else None,
            state=STATES[way],
            why=NO_WAY if way is Way.NONE else "",
            most=MOST_A_DAY,
        )
        if not kept:
            log.warning("a member had %d notices in a day and gets no more", MOST_A_DAY)
        elif way is Way.WORKER:
            await jobs.defer(connection, NOTICE_JOB, queue=NOTICE_QUEUE, notice_id=str(notice_id))

    def _sealed(self, recipient: Recipient) -> bytes:
        return self._vault.encrypt((recipient.phone or recipient.email or "").encode())


async def end_notice(connection: Connection, notice_id: UUID) -> None:
    """Keeps that a notice was sent, without to whom."""
    await execute(
        connection,
        """
        UPDATE notices SET state = 'SENT', sealed_recipient = NULL, tried_at = now()
        WHERE id = %(id)s AND state = 'WAITING'
        """,
        id=notice_id,
    )


async def count_failed_try(connection: Connection, notice_id: UUID, why: str) -> None:
    """Keeps for staff that sending failed, and why."""
    await execute(
        connection,
        "UPDATE notices SET tries = tries + 1, last_error = %(why)s, tried_at = now() WHERE id = %(id)s",
        id=notice_id,
        why=why,
    )


async def fail_notice(connection: Connection, notice_id: UUID) -> None:
    """Keeps that a notice is too late, without to whom."""
    await execute(
        connection,
        """
        UPDATE notices SET state = 'FAILED', sealed_recipient = NULL WHERE id = %(id)s AND state = 'WAITING'
        """,
        id=notice_id,
    )


async def forget_old_notices(connection: Connection) -> int:
    """Removes up to 1,000 notices of over 7 days ago; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM notices WHERE id IN (
          SELECT id FROM notices WHERE created_at < now() - interval '7 days' ORDER BY created_at LIMIT 1000
        )
        """,
    )
