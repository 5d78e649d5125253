"""Setting a password, which ends all logins of the account."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.logins.commands.end_sessions import EndedSessions, end_sessions
from services.identity.logins.queries import AccountRow, account_not_found
from services.identity.otp.commands.try_otp import use_otp
from services.identity.otp.recipients import Recipient


async def set_password(
    connection: Connection, *, actor: Caller, proven: AccountRow, password_hash: str
) -> EndedSessions:
    """Sets an account's password. Staff's changes are audited.

    Raises CREDENTIALS_NOT_VALID when the password that was the proof has been replaced since.
    """
    replaced = await connection.execute(
        text("UPDATE accounts SET password_hash = :new WHERE id = :id AND password_hash = :old RETURNING 1"),
        {"id": proven.id, "old": proven.password_hash, "new": password_hash},
    )
    if replaced.first() is None:
        raise password_replaced()
    if actor.is_staff:
        await record_own(connection, actor, "staff.password_changed", proven.id)
    return await end_sessions(connection, account_id=proven.id)


def password_replaced() -> DomainError:
    """The password that was given is an old one by now."""
    return DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")


async def set_password_by_otp(
    connection: Connection, *, recipient: Recipient, otp_id: UUID, password_hash: str
) -> EndedSessions:
    """Sets the password of the account with a proven phone number or confirmed e-mail address.

    A suspended member may set it too, and stays out. Raises OTP_NOT_VALID when the one-time password was used
    meanwhile, and ACCOUNT_NOT_FOUND.
    """
    found = await connection.execute(
        text(
            "UPDATE accounts SET password_hash = :hash WHERE phone = CAST(:phone AS text)"
            " OR (email = CAST(:email AS text) AND email_confirmed) RETURNING id"
        ),
        {"phone": recipient.phone, "email": recipient.email, "hash": password_hash},
    )
    account_id = found.scalar_one_or_none()
    if account_id is None:
        raise account_not_found(recipient)
    await use_otp(connection, otp_id)
    return await end_sessions(connection, account_id=account_id)
