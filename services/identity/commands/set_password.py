"""Setting a password, which ends all logins of the account."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.auth import Caller
from services.common.db import Connection
from services.common.errors import DomainError
from services.identity.commands.end_sessions import EndedSessions, end_sessions
from services.identity.commands.record_audit import record_own
from services.identity.commands.try_otp import use_otp
from services.identity.queries.accounts import AccountRow


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
    connection: Connection, *, phone: str, otp_id: UUID, password_hash: str
) -> EndedSessions:
    """Sets the password of the account with a proven phone number.

    Raises OTP_NOT_VALID when the one-time password was used meanwhile, and ACCOUNT_NOT_FOUND.
    """
    await use_otp(connection, otp_id)
    found = await connection.execute(
        text("UPDATE accounts SET password_hash = :hash WHERE phone = :phone RETURNING id"),
        {"phone": phone, "hash": password_hash},
    )
    account_id = found.scalar_one_or_none()
    if account_id is None:
        raise DomainError("ACCOUNT_NOT_FOUND", "no account has this phone number; register first")
    return await end_sessions(connection, account_id=account_id)
