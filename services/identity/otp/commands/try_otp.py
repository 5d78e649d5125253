"""Proving to own a phone number or an e-mail address."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.identity.keys.secrets_at_rest import Vault
from services.identity.otp.recipients import Recipient

MAX_TRIES = 5


@dataclass(frozen=True)
class OtpTry:
    """The outcome of a try, to be judged after it was counted."""

    recipient: Recipient
    refusal: DomainError | None

    def require(self) -> Recipient:
        """Whom it was sent to. Raises OTP_NOT_VALID, OTP_EXPIRED or OTP_TRIES_EXHAUSTED."""
        if self.refusal:
            raise self.refusal
        return self.recipient


async def try_otp(connection: Connection, vault: Vault, *, otp_id: UUID, code: str, purpose: str) -> OtpTry:
    """Counts one try and says whether the code is right.

    It answers a refusal instead of raising it, so that the count is committed.
    """
    counted = await connection.execute(
        text(
            "UPDATE otps SET tries = tries + 1 WHERE id = :id AND purpose = :purpose AND used_at IS NULL"
            " AND tries < :max_tries AND expires_at > now() RETURNING phone, email, code_hash, tries"
        ),
        {"id": otp_id, "purpose": purpose, "max_tries": MAX_TRIES},
    )
    row = counted.first()
    if row is None:
        return OtpTry(Recipient(), await _why_not(connection, otp_id, purpose))
    if hmac.compare_digest(bytes(row.code_hash), vault.hash_otp(otp_id, code)):
        return OtpTry(Recipient(row.phone, row.email), None)
    left = MAX_TRIES - row.tries
    return OtpTry(Recipient(), _exhausted() if left == 0 else otp_not_valid(tries_left=left))


async def use_otp(connection: Connection, otp_id: UUID) -> None:
    """Uses the one-time password up. Raises OTP_NOT_VALID when another call was first."""
    used = await connection.execute(
        text("UPDATE otps SET used_at = now() WHERE id = :id AND used_at IS NULL RETURNING 1"), {"id": otp_id}
    )
    if used.first() is None:
        raise otp_not_valid()


async def _why_not(connection: Connection, otp_id: UUID, purpose: str) -> DomainError:
    result = await connection.execute(
        text(
            "SELECT used_at IS NOT NULL AS used, tries, expires_at <= now() AS expired FROM otps"
            " WHERE id = :id AND purpose = :purpose"
        ),
        {"id": otp_id, "purpose": purpose},
    )
    row = result.first()
    if row is None or row.used:
        return otp_not_valid()
    if row.tries >= MAX_TRIES:
        return _exhausted()
    return DomainError("OTP_EXPIRED", "the one-time password has expired; ask for another")


def otp_not_valid(tries_left: int = 0) -> DomainError:
    """It proves nothing, or not what is wanted."""
    return DomainError("OTP_NOT_VALID", "the one-time password is not valid", tries_left=tries_left)


def _exhausted() -> DomainError:
    # Another one can be asked for at once, within the limits of sending.
    message = "too many wrong tries; ask for another one-time password"
    return DomainError("OTP_TRIES_EXHAUSTED", message, retry_after=1.0)
