"""Telling the recipient of a gift, of whom nothing is known but a phone number, member or not.

The number is kept encrypted from the moment it is given until the recipient was told, or the gift has ended.
"""

from __future__ import annotations

from uuid import UUID

from services.common import jobs
from services.common.db import Connection, execute, fetch_value
from services.identity.accounts import Recipient
from services.identity.keys import Vault
from services.identity.messages.commands import NO_WAY, NOTICE_JOB, NOTICE_QUEUE, STATES
from services.identity.messages.sender import Way
from services.identity.messages.texts import NoticeKind


async def prepare_gift_notice(
    connection: Connection, vault: Vault, *, gift_id: UUID, giver_id: UUID, phone: str, language: str
) -> None:
    """Keeps to whom a gift is, until it is on offer; a repetition changes nothing."""
    recipient = Recipient(phone)
    await execute(
        connection,
        """
        INSERT INTO notices (id, member_id, kind, language, recipient, sealed_recipient, state)
        VALUES (%(id)s, %(giver_id)s, %(kind)s, %(language)s, %(recipient)s, %(sealed)s, 'PREPARED')
        ON CONFLICT (id) DO NOTHING
        """,
        id=gift_id,
        giver_id=giver_id,
        kind=NoticeKind.GIFT_OFFERED,
        language=language,
        recipient=recipient.masked(),
        sealed=vault.encrypt(phone.encode()),
    )


async def prepared_phone(connection: Connection, vault: Vault, gift_id: UUID) -> str | None:
    """Returns to which number a gift is, or None when its recipient was told or forgotten."""
    sealed: bytes | None = await fetch_value(
        connection,
        "SELECT sealed_recipient FROM notices WHERE id = %(id)s AND state = 'PREPARED'",
        id=gift_id,
    )
    return vault.decrypt(sealed).decode() if sealed else None


async def send_gift_notice(connection: Connection, gift_id: UUID, way: Way) -> None:
    """Has the recipient told, once; what was sent, is under way or was forgotten stays as it is."""
    sent = await execute(
        connection,
        """
        UPDATE notices SET
          state = %(state)s, created_at = now(), last_error = %(why)s,
          sealed_recipient = CASE WHEN %(state)s = 'WAITING' THEN sealed_recipient END
        WHERE id = %(id)s AND state = 'PREPARED'
        """,
        id=gift_id,
        state=STATES[way],
        why=NO_WAY if way is Way.NONE else "",
    )
    if sent and way is Way.WORKER:
        await jobs.defer(connection, NOTICE_JOB, queue=NOTICE_QUEUE, notice_id=str(gift_id))


async def withhold_gift_notice(connection: Connection, gift_id: UUID, why: str) -> None:
    """Keeps that the recipient is not told, and why, without to whom it would have been."""
    await execute(
        connection,
        """
        UPDATE notices SET state = 'FAILED', last_error = %(why)s, sealed_recipient = NULL
        WHERE id = %(id)s AND state IN ('PREPARED', 'WAITING')
        """,
        id=gift_id,
        why=why,
    )


async def forget_gift_recipient(connection: Connection, gift_id: UUID) -> None:
    """Erases to whom a gift was; if the recipient is not told by now, nobody is."""
    await execute(connection, "DELETE FROM notices WHERE id = %(id)s AND state = 'PREPARED'", id=gift_id)
    await withhold_gift_notice(connection, gift_id, "the gift has ended")
    await execute(connection, "UPDATE notices SET recipient = '' WHERE id = %(id)s", id=gift_id)
