"""How one-time passwords leave identity: kept for a developer, or given to a worker to be sent."""

from __future__ import annotations

import logging
from typing import Protocol
from uuid import UUID

from services.common import jobs
from services.common.db import Connection, execute
from services.common.errors import unavailable
from services.identity.accounts import Recipient
from services.identity.keys import Vault
from services.identity.otp.settings import OtpSettings

log = logging.getLogger(__name__)

SEND_JOB = "send_otp"
SEND_QUEUE = "otps"
"""A queue of its own: a provider that hangs must not delay what members wait for."""


class OtpSender(Protocol):
    """Sends a one-time password. Called in the transaction that makes it."""

    async def send(self, connection: Connection, otp_id: UUID, recipient: Recipient, code: str) -> None:
        """Sends the code, or arranges for it to be sent."""


class SandboxOtpSender:
    """Sends nothing, and keeps the code where an admin can read it, and in the log."""

    async def send(
        self,
        connection: Connection,
        otp_id: UUID,
        recipient: Recipient,  # noqa: ARG002
        code: str,
    ) -> None:
        """Keeps the code."""
        await execute(
            connection,
            "INSERT INTO sandbox_otps (otp_id, code) VALUES (%(otp_id)s, %(code)s)",
            otp_id=otp_id,
            code=code,
        )
        log.info("sandbox: the code of one-time password %s is %s", otp_id, code)


class QueuedOtpSender:
    """Has a worker send the code. Until then it is kept encrypted, and not in the job."""

    def __init__(self, vault: Vault, *, phones: bool, emails: bool) -> None:
        self._vault = vault
        self._phones = phones
        self._emails = emails

    async def send(self, connection: Connection, otp_id: UUID, recipient: Recipient, code: str) -> None:
        """Keeps the code for the worker.

        Raises DEPENDENCY_UNAVAILABLE when there is no way of sending to such a recipient.
        """
        if not (self._emails if recipient.email else self._phones):
            raise unavailable("otp_sender")
        await execute(
            connection,
            "INSERT INTO otp_deliveries (otp_id, sealed_code) VALUES (%(otp_id)s, %(sealed_code)s)",
            otp_id=otp_id,
            sealed_code=self._vault.encrypt(code.encode()),
        )
        await jobs.defer(connection, SEND_JOB, queue=SEND_QUEUE, otp_id=str(otp_id))


def choose_sender(settings: OtpSettings, vault: Vault) -> OtpSender:
    """Returns the sender that the settings name."""
    if settings.sender == "sandbox":
        return SandboxOtpSender()
    return QueuedOtpSender(vault, phones=settings.sends_to_phones, emails=settings.sends_to_emails)
