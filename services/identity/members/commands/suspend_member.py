"""Suspending a member, and restoring one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.common.members import Restored, Suspended
from services.common.sessions import SessionState
from services.identity.audit.commands import record_own
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.members.queries import MemberRow, get_member, member_not_found
from services.identity.sessions import end_sessions


@dataclass(frozen=True)
class ChangedMember:
    """The member, and who is logged in now; None when nothing changed."""

    member: MemberRow
    logins: SessionState | None


async def suspend_member(
    connection: Connection, vault: Vault, *, actor: Caller, member_id: UUID, reason: str
) -> ChangedMember:
    """Keeps a member out and ends all of the member's logins; one who is out already stays so.

    Raises MEMBER_NOT_FOUND, also for one whose account is closed.
    """
    return await _change(connection, vault, actor, member_id, reason, to="SUSPENDED")


async def restore_member(
    connection: Connection, vault: Vault, *, actor: Caller, member_id: UUID, reason: str
) -> ChangedMember:
    """Lets a suspended member in again; one who is in already stays so.

    Raises MEMBER_NOT_FOUND, also for one whose account is closed.
    """
    return await _change(connection, vault, actor, member_id, reason, to="ACTIVE")


async def _change(
    connection: Connection, vault: Vault, actor: Caller, member_id: UUID, reason: str, *, to: str
) -> ChangedMember:
    changed = await connection.execute(
        text(
            "UPDATE accounts SET status = :to WHERE id = :id AND kind = 'MEMBER'"
            " AND status NOT IN ('CLOSED', :to) RETURNING phone"
        ),
        {"id": member_id, "to": to},
    )
    row = changed.first()
    if row is None:
        member = await get_member(connection, member_id)
        if member.status == "CLOSED":
            raise member_not_found(member_id)
        return ChangedMember(member, None)
    event, action = (Restored, "member.restored") if to == "ACTIVE" else (Suspended, "member.suspended")
    phone_hash = vault.hash_phone(row.phone) if row.phone else None
    await publish_member_events(connection, member_id, event, phone_hash=phone_hash)
    await record_own(connection, actor, action, member_id, reason=reason)
    ended = await end_sessions(connection, account_id=member_id)
    return ChangedMember(await get_member(connection, member_id), ended.logins)
