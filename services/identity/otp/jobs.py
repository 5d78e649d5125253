"""What a worker does about one-time passwords: it sends them, and removes old ones."""

from __future__ import annotations

import logging
from uuid import UUID

from services.common.db import Database
from services.identity.keys import Vault
from services.identity.messages import Message, SendError, Transport, code_text
from services.identity.otp.commands import forget_old_otps
from services.identity.otp.delivery_commands import (
    count_failed_try,
    end_otp_delivery,
    fail_late_deliveries,
    fail_otp_delivery,
)
from services.identity.otp.queries import OtpDelivery, otp_delivery

log = logging.getLogger(__name__)

BATCHES = (fail_late_deliveries, forget_old_otps)
"""Removals to be repeated; each does a batch in a transaction and returns how many rows it was."""


class SendOtpJob:
    """Sends codes by a transport, in words of the settings or of the language asked for."""

    def __init__(self, db: Database, vault: Vault, transport: Transport, text: str) -> None:
        self._db = db
        self._vault = vault
        self._transport = transport
        self._text = text

    async def run(self, otp_id: str) -> None:
        """Sends a code that is still valid, and removes it. A worker that dies in between sends it again."""
        one = UUID(otp_id)
        delivery = await self._db.read(otp_delivery, one)
        if delivery is None:
            return
        if not delivery.used:
            if not delivery.minutes:
                log.warning("one-time password %s could not be sent in time", otp_id)
                await self._db.run(fail_otp_delivery, one)
                return
            try:
                await self._hand_over(one, delivery)
            except Exception as error:
                why = str(error) if isinstance(error, SendError) else "an error of our own; see the log"
                await self._db.run(count_failed_try, one, why)
                raise
        await self._db.run(end_otp_delivery, one)

    async def _hand_over(self, otp_id: UUID, delivery: OtpDelivery) -> None:
        code = self._vault.decrypt(delivery.sealed_code).decode()
        words = code_text(delivery.language, code, delivery.minutes, template=self._text)
        await self._transport.send(Message(otp_id, delivery.recipient, words))
