"""Making and sending a one-time password."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.identity.keys.secrets_at_rest import Vault
from services.identity.otp.recipients import Recipient
from services.identity.otp.sender import OtpSender

LIFETIME = "5 minutes"


@dataclass(frozen=True)
class SentOtp:
    """A one-time password that is on its way."""

    id: UUID
    expires_at: datetime


async def send_otp(
    connection: Connection, vault: Vault, sender: OtpSender, *, recipient: Recipient, purpose: str
) -> SentOtp:
    """Makes a code of 6 digits for one purpose and has it sent."""
    otp_id = new_id()
    code = f"{secrets.randbelow(1_000_000):06d}"
    result = await connection.execute(
        text(
            "INSERT INTO otps (id, phone, email, purpose, code_hash, expires_at)"
            " VALUES (:id, :phone, :email, :purpose, :code_hash, now() + CAST(:lifetime AS interval))"
            " RETURNING expires_at"
        ),
        {
            "id": otp_id,
            "phone": recipient.phone,
            "email": recipient.email,
            "purpose": purpose,
            "code_hash": vault.hash_otp(otp_id, code),
            "lifetime": LIFETIME,
        },
    )
    expires_at = result.scalar_one()
    await sender.send(connection, otp_id, recipient, code)
    return SentOtp(otp_id, expires_at)


async def forget_otps_of(
    connection: Connection, *, phone: str | None = None, email: str | None = None
) -> None:
    """Removes those of a number and of an address that an account gives up, sent or not.

    Whoever gets in by one uses it up in the same transaction, so nobody gets in by an old one.
    """
    await connection.execute(
        text("DELETE FROM otps WHERE phone = CAST(:phone AS text) OR email = CAST(:email AS text)"),
        {"phone": phone, "email": email},
    )


async def forget_old_otps(connection: Connection) -> int:
    """Removes up to 1,000 one-time passwords that expired over an hour ago; answers how many.

    One that was not sent stays for 7 days, for staff to see.
    """
    removed = await connection.execute(
        text(
            "DELETE FROM otps WHERE id IN (SELECT o.id FROM otps o"
            " LEFT JOIN otp_deliveries d ON d.otp_id = o.id WHERE o.expires_at < now() - interval '1 hour'"
            " AND (d.otp_id IS NULL OR o.expires_at < now() - interval '7 days') LIMIT 1000)"
        )
    )
    return int(removed.rowcount)
