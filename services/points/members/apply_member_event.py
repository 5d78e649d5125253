"""What follows in points from a change in a member's life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, execute, fetch_value
from services.common.members import ACTIVE, CLOSED
from services.points.ledger import close_account

_STATUS_AFTER = {"SUSPENDED": "SUSPENDED", "RESTORED": "ACTIVE", "CLOSED": "CLOSED"}


@dataclass(frozen=True)
class MemberEvent:
    """What happened to a member. `type` is a name of MemberEventType without its prefix."""

    id: UUID
    member_id: UUID
    version: int
    type: str
    occurred_at: datetime | None


async def apply_member_event(connection: Connection, event: MemberEvent) -> None:
    """Applies an event unless this version or a later one was.

    Codes of a member who is out are dropped, so that a till is refused; the points of one who is gone are
    forfeited.
    """
    status = await fetch_value(
        connection,
        """
        INSERT INTO members AS m (member_id, version, registered_at, status)
        VALUES (%(member_id)s, %(version)s, %(registered_at)s, coalesce(%(status)s::text, 'ACTIVE'))
        ON CONFLICT (member_id) DO UPDATE SET
          version = excluded.version,
          registered_at = coalesce(excluded.registered_at, m.registered_at),
          status = coalesce(%(status)s::text, m.status)
        WHERE m.version < excluded.version AND m.status <> 'CLOSED'
        RETURNING status
        """,
        member_id=event.member_id,
        version=event.version,
        registered_at=event.occurred_at if event.type == "REGISTERED" else None,
        status=_STATUS_AFTER.get(event.type),
    )
    if status is None or status == ACTIVE:
        return
    # A statement of its own: it must see the codes that were kept until the member's row was locked.
    await execute(
        connection,
        "DELETE FROM member_codes WHERE member_id = %(member_id)s",
        member_id=event.member_id,
    )
    if status == CLOSED:
        await close_account(connection, event.member_id, event.id)
