"""Closing an account."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.members import Closed
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.member_codes import new_member_code
from services.identity.members.queries import why_not_active
from services.identity.otp import forget_otps_of
from services.identity.sessions import EndedSessions, end_sessions


async def close_member(connection: Connection, vault: Vault, *, member_id: UUID) -> EndedSessions:
    """Ends the account for good: erases who its member was, ends all logins, tells the other services.

    What stays is the id, which names nobody, and in the event a keyed hash of the phone number. The
    member code gives way to one that nobody has seen. Raises ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    closed = await connection.execute(
        text(
            "UPDATE accounts SET status = 'CLOSED', user_name = NULL, email = NULL, email_confirmed = false,"
            " phone = NULL, password_hash = NULL WHERE id = :id AND status = 'ACTIVE'"
            " RETURNING old.phone, old.email"
        ),
        {"id": member_id},
    )
    row = closed.first()
    if row is None:
        raise await why_not_active(connection, member_id)
    await connection.execute(
        text(
            "UPDATE members SET full_name = '', birthday = NULL, member_code = :code,"
            " shares_contact = false, consent_wording = NULL, consent_at = NULL WHERE id = :id"
        ),
        {"id": member_id, "code": new_member_code()},
    )
    await forget_otps_of(connection, phone=row.phone, email=row.email)
    phone_hash = vault.hash_phone(row.phone) if row.phone else None
    await publish_member_events(connection, member_id, Closed, phone_hash=phone_hash)
    ended = await end_sessions(connection, account_id=member_id)
    await connection.execute(
        text("UPDATE sessions SET device_id = '' WHERE account_id = :id"), {"id": member_id}
    )
    return ended
