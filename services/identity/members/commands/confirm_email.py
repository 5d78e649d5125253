"""Confirming an account's e-mail address."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.identity.accounts import Recipient
from services.identity.members.queries import MemberRow, get_member, why_not_active
from services.identity.otp import otp_not_valid, use_otp


async def confirm_email(
    connection: Connection, *, member_id: UUID, recipient: Recipient, otp_id: UUID
) -> MemberRow:
    """Keeps that the account's e-mail address is its member's, as the one-time password proved.

    Raises ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, and OTP_NOT_VALID when the account has another address, be it
    since a moment ago, or another call was first.
    """
    confirmed = await connection.execute(
        text(
            "UPDATE accounts SET email_confirmed = true"
            " WHERE id = :id AND status = 'ACTIVE' AND email = :email RETURNING 1"
        ),
        {"id": member_id, "email": recipient.email},
    )
    if confirmed.first() is None:
        member = await get_member(connection, member_id)
        raise otp_not_valid() if member.status == "ACTIVE" else await why_not_active(connection, member_id)
    await use_otp(connection, otp_id)
    return await get_member(connection, member_id)
