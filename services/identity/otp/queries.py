"""Reads of one-time passwords."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment
from services.identity.accounts import Recipient


@dataclass(frozen=True, slots=True)
class OtpDelivery:
    """A code to be sent, encrypted. `minutes` is how long it is still valid; 0 when it is no longer."""

    recipient: Recipient
    sealed_code: bytes
    language: str
    minutes: int
    used: bool


@dataclass(frozen=True, slots=True)
class UnsentRow:
    """A one-time password that is not sent. `state` is WAITING or FAILED."""

    phone: str | None
    email: str | None
    otp_id: UUID
    state: str
    tries: int
    last_error: str
    asked_at: datetime
    tried_at: datetime | None
    expires_at: datetime

    @property
    def recipient(self) -> Recipient:
        """Whom it was to be sent to."""
        return Recipient(self.phone, self.email)


@dataclass(frozen=True, slots=True)
class _DeliveryRow:
    phone: str | None
    email: str | None
    sealed_code: bytes
    language: str
    used: bool
    minutes: int


async def sandbox_code(connection: Connection, otp_id: UUID) -> str:
    """Returns the code of a one-time password kept by the sandbox. Raises OTP_NOT_FOUND."""
    code: str | None = await fetch_value(
        connection, "SELECT code FROM sandbox_otps WHERE otp_id = %(otp_id)s", otp_id=otp_id
    )
    if code is None:
        raise DomainError("OTP_NOT_FOUND", "no such one-time password", otp_id=otp_id)
    return code


async def recipient_to_guess(
    connection: Connection, otp_id: UUID, purpose: str, *, max_tries: int
) -> Recipient | None:
    """Returns whom a one-time password was sent to, if it can still be tried: no other is worth a guess."""
    return await fetch_first(
        connection,
        Recipient,
        """
        SELECT phone, email FROM otps
        WHERE id = %(id)s AND purpose = %(purpose)s AND used_at IS NULL
          AND tries < %(max_tries)s AND expires_at > now()
        """,
        id=otp_id,
        purpose=purpose,
        max_tries=max_tries,
    )


async def otp_delivery(connection: Connection, otp_id: UUID) -> OtpDelivery | None:
    """Returns what is to be sent, or None when it was, or is too late."""
    row = await fetch_first(
        connection,
        _DeliveryRow,
        """
        SELECT
          o.phone, o.email, d.sealed_code, d.language, o.used_at IS NOT NULL AS used,
          greatest(0, ceil(extract(epoch FROM o.expires_at - now()) / 60)::int) AS minutes
        FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id
        WHERE d.otp_id = %(otp_id)s AND d.failed_at IS NULL
        """,
        otp_id=otp_id,
    )
    if row is None:
        return None
    recipient = Recipient(row.phone, row.email)
    return OtpDelivery(recipient, row.sealed_code, row.language, row.minutes, row.used)


UNSENT = Listing(
    row=UnsentRow,
    columns="""
      o.phone, o.email, d.otp_id, CASE WHEN d.failed_at IS NULL THEN 'WAITING' ELSE 'FAILED' END AS state,
      d.tries, d.last_error, d.created_at AS asked_at, d.tried_at, o.expires_at
    """,
    source="otp_deliveries d JOIN otps o ON o.id = d.otp_id",
    filters={
        # A condition each, without a value, so that the plan for those that wait can use their index.
        "waiting": "d.failed_at IS NULL",
        "failed": "d.failed_at IS NOT NULL",
    },
    keys={"asked_at": SortKey("d.created_at", "asked_at", parse_moment)},
    key=SortKey("d.otp_id", "otp_id", UUID),
    default_order="asked_at desc",
)
"""One-time passwords that are not sent."""
