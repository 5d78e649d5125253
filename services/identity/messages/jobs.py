"""What a worker does about notices: it sends them, and removes old ones."""

from __future__ import annotations

import logging
from uuid import UUID

from services.common.db import Database
from services.identity.accounts import Recipient
from services.identity.keys import Vault
from services.identity.messages.commands import (
    count_failed_try,
    end_notice,
    fail_notice,
    forget_old_notices,
)
from services.identity.messages.queries import WaitingNotice, waiting_notice
from services.identity.messages.texts import NoticeKind, notice_text
from services.identity.messages.transports import Message, SendError, Transport

log = logging.getLogger(__name__)

BATCHES = (forget_old_notices,)
"""Removals to be repeated; each does a batch in a transaction and returns how many rows it was."""


class SendNoticeJob:
    """Sends notices by a transport."""

    def __init__(self, db: Database, vault: Vault, transport: Transport) -> None:
        self._db = db
        self._vault = vault
        self._transport = transport

    async def run(self, notice_id: str) -> None:
        """Sends a notice that is not too old. A worker that dies in between sends it again."""
        one = UUID(notice_id)
        notice = await self._db.read(waiting_notice, one)
        if notice is None:
            return
        if notice.late:
            log.warning("notice %s could not be sent in time", notice_id)
            await self._db.run(fail_notice, one)
            return
        try:
            await self._hand_over(one, notice)
        except Exception as error:
            why = str(error) if isinstance(error, SendError) else "an error of our own; see the log"
            await self._db.run(count_failed_try, one, why)
            raise
        await self._db.run(end_notice, one)

    async def _hand_over(self, notice_id: UUID, notice: WaitingNotice) -> None:
        to = self._vault.decrypt(notice.sealed_recipient).decode()
        recipient = Recipient(email=to) if "@" in to else Recipient(phone=to)
        text = notice_text(NoticeKind(notice.kind), notice.language, notice.created_at)
        await self._transport.send(Message(notice_id, recipient, text.body, text.subject))
