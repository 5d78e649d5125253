"""Reads of one-time passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page
from services.identity.otp.recipients import Recipient


@dataclass(frozen=True)
class OtpDelivery:
    """A code to be sent, encrypted. `minutes` is how long it is still good; 0 when it is no longer."""

    recipient: Recipient
    sealed_code: bytes
    minutes: int
    used: bool


@dataclass(frozen=True)
class UnsentRow:
    """A one-time password that is not sent. `state` is WAITING or FAILED, `recipient` is masked."""

    recipient: str
    otp_id: UUID
    state: str
    tries: int
    last_error: str
    asked_at: datetime
    tried_at: datetime | None
    expires_at: datetime


async def sandbox_code(connection: Connection, otp_id: UUID) -> str:
    """The code of a one-time password kept by the sandbox. Raises OTP_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT code FROM sandbox_otps WHERE otp_id = :otp_id"), {"otp_id": otp_id}
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise DomainError("OTP_NOT_FOUND", "no such one-time password", otp_id=otp_id)
    return str(code)


async def recipient_to_guess(
    connection: Connection, otp_id: UUID, purpose: str, *, max_tries: int
) -> Recipient | None:
    """Whom a one-time password was sent to, if it can still be tried: no other is worth a guess."""
    result = await connection.execute(
        text(
            "SELECT phone, email FROM otps WHERE id = :id AND purpose = :purpose AND used_at IS NULL"
            " AND tries < :max_tries AND expires_at > now()"
        ),
        {"id": otp_id, "purpose": purpose, "max_tries": max_tries},
    )
    row = result.first()
    return Recipient(*row) if row else None


async def otp_delivery(connection: Connection, otp_id: UUID) -> OtpDelivery | None:
    """What is to be sent, or None when it was, or is too late."""
    result = await connection.execute(
        text(
            "SELECT o.phone, o.email, d.sealed_code, o.used_at IS NOT NULL AS used,"
            " greatest(0, CAST(ceil(extract(epoch FROM o.expires_at - now()) / 60) AS int)) AS minutes"
            " FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id"
            " WHERE d.otp_id = :otp_id AND d.failed_at IS NULL"
        ),
        {"otp_id": otp_id},
    )
    row = result.first()
    if row is None:
        return None
    return OtpDelivery(Recipient(row.phone, row.email), bytes(row.sealed_code), row.minutes, row.used)


async def list_unsent(
    connection: Connection, page: Page, state: str | None
) -> tuple[Sequence[UnsentRow], str]:
    """A page of one-time passwords that are not sent, the newest first; with a `state`, those in it."""
    conditions = ["true"]
    values: dict[str, object] = {"limit": page.size + 1}
    if not page.first:
        conditions.append("d.otp_id < :after")
        values["after"] = page.after(UUID)
    if state:
        conditions.append("d.failed_at IS NULL" if state == "WAITING" else "d.failed_at IS NOT NULL")
    result = await connection.execute(
        text(
            "SELECT o.phone, o.email, d.otp_id,"  # noqa: S608  # of constants
            " CASE WHEN d.failed_at IS NULL THEN 'WAITING' ELSE 'FAILED' END, d.tries, d.last_error,"
            " d.created_at, d.tried_at, o.expires_at"
            " FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id"
            f" WHERE {' AND '.join(conditions)} ORDER BY d.otp_id DESC LIMIT :limit"
        ),
        values,
    )
    rows = [UnsentRow(Recipient(phone, email).masked(), *rest) for phone, email, *rest in result]
    return page.cut(rows, lambda row: row.otp_id)
