"""Making, sending, trying and using one-time passwords, and removing old ones."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.db import Connection, execute, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.ids import new_id
from services.identity.accounts import Recipient
from services.identity.keys import Vault
from services.identity.messages import DEFAULT_LANGUAGE, MessageSender
from services.identity.otp.sender import NewCode, send_code

LIFETIME = "5 minutes"
MAX_TRIES = 5


@dataclass(frozen=True)
class SentOtp:
    """A one-time password that is on its way."""

    id: UUID
    expires_at: datetime


@dataclass(frozen=True)
class OtpTry:
    """The outcome of a try, to be judged after it was counted."""

    recipient: Recipient
    refusal: DomainError | None

    def require(self) -> Recipient:
        """Returns whom it was sent to. Raises OTP_NOT_VALID, OTP_EXPIRED or OTP_TRIES_EXHAUSTED."""
        if self.refusal:
            raise self.refusal
        return self.recipient


@dataclass(frozen=True, slots=True)
class _CountedTry:
    phone: str | None
    email: str | None
    code_hash: bytes
    tries: int


@dataclass(frozen=True, slots=True)
class _OtpState:
    used: bool
    tries: int


async def send_otp(
    connection: Connection,
    vault: Vault,
    sender: MessageSender,
    *,
    recipient: Recipient,
    purpose: str,
    language: str = DEFAULT_LANGUAGE,
) -> SentOtp:
    """Makes a code of 6 digits for one purpose and has it sent."""
    otp_id = new_id()
    code = f"{secrets.randbelow(1_000_000):06d}"
    expires_at: datetime = await fetch_value(
        connection,
        """
        INSERT INTO otps (id, phone, email, purpose, code_hash, expires_at)
        VALUES (
          %(id)s, %(phone)s, %(email)s, %(purpose)s, %(code_hash)s, now() + %(lifetime)s::interval
        )
        RETURNING expires_at
        """,
        id=otp_id,
        phone=recipient.phone,
        email=recipient.email,
        purpose=purpose,
        code_hash=vault.hash_otp(otp_id, code),
        lifetime=LIFETIME,
    )
    await send_code(connection, vault, sender, NewCode(otp_id, recipient, code, language))
    return SentOtp(otp_id, expires_at)


async def try_otp(connection: Connection, vault: Vault, *, otp_id: UUID, code: str, purpose: str) -> OtpTry:
    """Counts one try and judges the code.

    A refusal is returned and not raised, so that the count is committed.
    """
    counted = await fetch_first(
        connection,
        _CountedTry,
        """
        UPDATE otps SET tries = tries + 1
        WHERE id = %(id)s AND purpose = %(purpose)s AND used_at IS NULL
          AND tries < %(max_tries)s AND expires_at > now()
        RETURNING phone, email, code_hash, tries
        """,
        id=otp_id,
        purpose=purpose,
        max_tries=MAX_TRIES,
    )
    if counted is None:
        return OtpTry(Recipient(), await _why_not(connection, otp_id, purpose))
    if hmac.compare_digest(counted.code_hash, vault.hash_otp(otp_id, code)):
        return OtpTry(Recipient(counted.phone, counted.email), None)
    left = MAX_TRIES - counted.tries
    return OtpTry(Recipient(), _exhausted() if left == 0 else otp_not_valid(tries_left=left))


async def use_otp(connection: Connection, otp_id: UUID) -> None:
    """Uses the one-time password up. Raises OTP_NOT_VALID when another call was first."""
    used = await execute(
        connection, "UPDATE otps SET used_at = now() WHERE id = %(id)s AND used_at IS NULL", id=otp_id
    )
    if not used:
        raise otp_not_valid()


async def _why_not(connection: Connection, otp_id: UUID, purpose: str) -> DomainError:
    state = await fetch_first(
        connection,
        _OtpState,
        """
        SELECT used_at IS NOT NULL AS used, tries FROM otps
        WHERE id = %(id)s AND purpose = %(purpose)s
        """,
        id=otp_id,
        purpose=purpose,
    )
    if state is None or state.used:
        return otp_not_valid()
    if state.tries >= MAX_TRIES:
        return _exhausted()
    return DomainError("OTP_EXPIRED", "the one-time password has expired; ask for another")


def otp_not_valid(tries_left: int | None = None) -> DomainError:
    """Returns the refusal of a one-time password that proves nothing, or not what is wanted.

    `tries_left` is given when it could be tried and its code was wrong: one that does not exist has no tries.
    """
    known: dict[str, Any] = {} if tries_left is None else {"tries_left": tries_left}
    return DomainError("OTP_NOT_VALID", "the one-time password is not valid", **known)


def _exhausted() -> DomainError:
    # Another one can be asked for at once, within the limits of sending.
    message = "too many wrong tries; ask for another one-time password"
    return DomainError("OTP_TRIES_EXHAUSTED", message, retry_after=1.0)


async def forget_otps_of(
    connection: Connection, *, phone: str | None = None, email: str | None = None
) -> None:
    """Removes those of a number and of an address that an account gives up, sent or not.

    Every proof by a one-time password uses it up in the transaction that relies on it, so an old one proves
    nothing after this.
    """
    await execute(
        connection,
        "DELETE FROM otps WHERE phone = %(phone)s::text OR email = %(email)s::text",
        phone=phone,
        email=email,
    )


async def forget_confirmations_of(connection: Connection, email: str) -> None:
    """Removes those that would confirm an address. Others may be its owner's, for another account."""
    await execute(
        connection,
        "DELETE FROM otps WHERE email = %(email)s AND purpose = 'OTP_PURPOSE_CONFIRM_EMAIL'",
        email=email,
    )


async def forget_old_otps(connection: Connection) -> int:
    """Removes up to 1,000 one-time passwords that expired over an hour ago; returns how many.

    One that was not sent stays for 7 days, for staff to see.
    """
    return await execute(
        connection,
        """
        DELETE FROM otps WHERE id IN (
          SELECT o.id FROM otps o LEFT JOIN otp_deliveries d ON d.otp_id = o.id
          WHERE o.expires_at < now() - interval '1 hour'
            AND (d.otp_id IS NULL OR o.expires_at < now() - interval '7 days')
          LIMIT 1000
        )
        """,
    )
