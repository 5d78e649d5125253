"""Setting a password, which ends all logins of the account."""

from __future__ import annotations

from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection
from services.identity.accounts import (
    AccountRow,
    Recipient,
    account_not_found,
    current_password_not_valid,
    proven_contact,
    replace_password_hash,
    set_password_hash_of,
)
from services.identity.audit import record_own
from services.identity.messages import NoticeKind, Notices
from services.identity.otp import use_otp
from services.identity.sessions import EndedSessions, end_sessions


async def set_password(
    connection: Connection,
    notices: Notices,
    *,
    actor: Caller,
    proven: AccountRow,
    password_hash: str,
    language: str,
) -> EndedSessions:
    """Sets an account's password. Staff's changes are audited, members are told.

    Raises CURRENT_PASSWORD_NOT_VALID when the password that was the proof has been replaced since.
    """
    if not await replace_password_hash(connection, proven.id, old=proven.password_hash, new=password_hash):
        raise current_password_not_valid()
    if actor.is_staff:
        await record_own(connection, actor, "staff.password_changed", proven.id)
    else:
        await _tell(connection, notices, proven.id, language)
    return await end_sessions(connection, account_id=proven.id)


async def set_password_by_otp(
    connection: Connection,
    notices: Notices,
    *,
    recipient: Recipient,
    otp_id: UUID,
    password_hash: str,
    language: str,
) -> EndedSessions:
    """Sets the password of the account with a proven phone number or confirmed e-mail address, and tells it.

    A suspended member may set it too, and stays out. Raises OTP_NOT_VALID when the one-time password was used
    meanwhile, and ACCOUNT_NOT_FOUND.
    """
    account_id = await set_password_hash_of(connection, recipient, password_hash)
    if account_id is None:
        raise account_not_found(recipient)
    await use_otp(connection, otp_id)
    await _tell(connection, notices, account_id, language)
    return await end_sessions(connection, account_id=account_id)


async def _tell(connection: Connection, notices: Notices, account_id: UUID, language: str) -> None:
    contact = await proven_contact(connection, account_id)
    kind = NoticeKind.PASSWORD_CHANGED
    await notices.tell(connection, member_id=account_id, kind=kind, to=contact, language=language)
