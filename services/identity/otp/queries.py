"""Reads of one-time passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.paging import Page
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


_UNSENT = sql.SQL(
    """
    SELECT
      o.phone, o.email, d.otp_id, CASE WHEN d.failed_at IS NULL THEN 'WAITING' ELSE 'FAILED' END AS state,
      d.tries, d.last_error, d.created_at AS asked_at, d.tried_at, o.expires_at
    FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id
    WHERE {in_state} AND d.otp_id < %(before)s
    ORDER BY d.otp_id DESC LIMIT %(limit)s
    """
)
# A statement each, so that the plan for those that wait can use their index.
_UNSENT_IN = {
    None: _UNSENT.format(in_state=sql.SQL("true")),
    "WAITING": _UNSENT.format(in_state=sql.SQL("d.failed_at IS NULL")),
    "FAILED": _UNSENT.format(in_state=sql.SQL("d.failed_at IS NOT NULL")),
}
_LAST_ID = UUID(int=2**128 - 1)


async def list_unsent(
    connection: Connection, page: Page, state: str | None
) -> tuple[Sequence[UnsentRow], str]:
    """Returns a page of one-time passwords that are not sent, newest first; with a `state`, those in it."""
    rows = await fetch_all(
        connection,
        UnsentRow,
        _UNSENT_IN[state],
        before=page.after(UUID) or _LAST_ID,
        limit=page.size + 1,
    )
    return page.cut(rows, lambda row: row.otp_id)
