"""How one-time passwords reach people."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.common.errors import unavailable


class OtpSender(Protocol):
    """Sends a one-time password. Called in the transaction that makes it."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:
        """Sends the code to the number, or arranges for it to be sent."""


class SandboxOtpSender:
    """Sends nothing, and keeps the code where an admin can read it."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:  # noqa: ARG002
        """Keeps the code."""
        await connection.execute(
            text("INSERT INTO sandbox_otps (otp_id, code) VALUES (:otp_id, :code)"),
            {"otp_id": otp_id, "code": code},
        )


class NoOtpSender:
    """Used when the sandbox is off and no way of sending is set up: refuses, and says so."""

    async def send(self, connection: Connection, otp_id: UUID, phone: str, code: str) -> None:  # noqa: ARG002
        """Refuses."""
        raise unavailable("otp_sender")
