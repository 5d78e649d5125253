"""Reads of one-time passwords."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.common.errors import DomainError


@dataclass(frozen=True)
class OtpDelivery:
    """A code to be sent, encrypted. `minutes` is how long it is still good; 0 when it is no longer."""

    phone: str
    sealed_code: bytes
    minutes: int


async def sandbox_code(connection: Connection, otp_id: UUID) -> str:
    """The code of a one-time password kept by the sandbox. Raises OTP_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT code FROM sandbox_otps WHERE otp_id = :otp_id"), {"otp_id": otp_id}
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise DomainError("OTP_NOT_FOUND", "no such one-time password", otp_id=otp_id)
    return str(code)


async def otp_delivery(connection: Connection, otp_id: UUID) -> OtpDelivery | None:
    """What is to be sent, or None when it was."""
    result = await connection.execute(
        text(
            "SELECT o.phone, d.sealed_code, CASE WHEN o.used_at IS NULL AND o.expires_at > now()"
            " THEN CAST(ceil(extract(epoch FROM o.expires_at - now()) / 60) AS int) ELSE 0 END"
            " FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id WHERE d.otp_id = :otp_id"
        ),
        {"otp_id": otp_id},
    )
    row = result.first()
    return OtpDelivery(row[0], bytes(row[1]), row[2]) if row else None
