"""Keeping what a member agreed to."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.members import ConsentChanged
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.members.queries import MemberRow, get_member, why_not_active


async def set_consent(
    connection: Connection, vault: Vault, *, member_id: UUID, shares_contact: bool, wording: str
) -> MemberRow:
    """Keeps what the member said, to which wording and when, and tells the other services.

    Saying the same again changes nothing, and nobody is told. Raises ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    # The account is locked first, lest an account that is being closed keeps anything.
    locked = await connection.execute(
        text("SELECT phone FROM accounts WHERE id = :id AND status = 'ACTIVE' FOR NO KEY UPDATE"),
        {"id": member_id},
    )
    row = locked.first()
    if row is None:
        raise await why_not_active(connection, member_id)
    changed = await connection.execute(
        text(
            "UPDATE members SET shares_contact = :shares_contact, consent_wording = :wording,"
            " consent_at = now() WHERE id = :id"
            " AND (shares_contact, consent_wording) IS DISTINCT FROM (:shares_contact, :wording) RETURNING 1"
        ),
        {"id": member_id, "shares_contact": shares_contact, "wording": wording},
    )
    if changed.first():
        phone_hash = vault.hash_phone(row.phone) if row.phone else None
        await publish_member_events(connection, member_id, ConsentChanged, phone_hash=phone_hash)
    return await get_member(connection, member_id)
