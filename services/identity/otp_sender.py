"""How one-time passwords leave identity: kept for a developer, or given to a worker to be sent."""

from __future__ import annotations

import logging
from typing import Protocol
from uuid import UUID

from sqlalchemy import text

from services.common import jobs
from services.common.db import Connection
from services.common.errors import unavailable
from services.identity.secrets_at_rest import Vault

log = logging.getLogger(__name__)

SEND_JOB = "send_otp"
SEND_QUEUE = "otps"
"""A queue of its own: a provider that hangs must not delay what members wait for."""


class OtpSender(Protocol):
    """Sends a one-time password. Called in the transaction that makes it."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:
        """Sends the code to the number, or arranges for it to be sent."""


class SandboxOtpSender:
    """Sends nothing, and keeps the code where an admin can read it, and in the log."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:  # noqa: ARG002
        """Keeps the code."""
        await connection.execute(
            text("INSERT INTO sandbox_otps (otp_id, code) VALUES (:otp_id, :code)"),
            {"otp_id": otp_id, "code": code},
        )
        log.info("sandbox: the code of one-time password %s is %s", otp_id, code)


class QueuedOtpSender:
    """Has a worker send the code. Until then it is kept encrypted, and not in the job."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:  # noqa: ARG002
        """Keeps the code for the worker."""
        await connection.execute(
            text("INSERT INTO otp_deliveries (otp_id, sealed_code) VALUES (:otp_id, :sealed_code)"),
            {"otp_id": otp_id, "sealed_code": self._vault.encrypt(code.encode())},
        )
        await jobs.defer(connection, SEND_JOB, queue=SEND_QUEUE, otp_id=str(otp_id))


class NoOtpSender:
    """Used when the sandbox is off and no way of sending is set up: refuses, and says so."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:  # noqa: ARG002
        """Refuses."""
        raise unavailable("otp_sender")


def choose_sender(name: str, vault: Vault) -> OtpSender:
    """The sender of this name, as in the settings."""
    if name == "sandbox":
        return SandboxOtpSender()
    return NoOtpSender() if name == "none" else QueuedOtpSender(vault)
