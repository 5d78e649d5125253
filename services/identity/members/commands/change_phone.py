"""Giving an account another phone number."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.members import PhoneChanged
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.members.queries import MemberRow, get_member, why_not_active
from services.identity.otp import forget_otps_of, use_otp


async def change_phone(
    connection: Connection, vault: Vault, *, member_id: UUID, phone: str, otp_id: UUID
) -> MemberRow:
    """Gives the account the number that the one-time password proved, and tells the other services.

    One-time passwords of the old number are void. Raises OTP_NOT_VALID, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED,
    and PHONE_TAKEN (by constraint).
    """
    changed = await connection.execute(
        text(
            "UPDATE accounts SET phone = :phone WHERE id = :id AND status = 'ACTIVE'"
            " RETURNING old.phone, old.phone IS DISTINCT FROM new.phone AS another"
        ),
        {"id": member_id, "phone": phone},
    )
    row = changed.first()
    if row is None:
        raise await why_not_active(connection, member_id)
    await use_otp(connection, otp_id)
    if row.another:
        await forget_otps_of(connection, phone=row.phone)
        await publish_member_events(connection, member_id, PhoneChanged, phone_hash=vault.hash_phone(phone))
    return await get_member(connection, member_id)
