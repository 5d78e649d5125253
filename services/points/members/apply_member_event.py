"""Hearing of a member's life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.points.ledger.commands.move_points import Entry, write_entry
from services.points.purchases.purchase import Balance

_STATUS_AFTER = {"SUSPENDED": "SUSPENDED", "RESTORED": "ACTIVE", "CLOSED": "CLOSED"}


@dataclass(frozen=True)
class MemberEvent:
    """What happened to a member. `type` is a name of MemberEventType without its prefix."""

    id: UUID
    member_id: UUID
    version: int
    type: str
    occurred_at: datetime | None


async def apply_member_event(connection: Connection, event: MemberEvent) -> Balance | None:
    """Applies an event unless this version or a later one was; answers the balance if it moved.

    Codes of one who is out are dropped, so that a till gets to hear so; the points of one who is gone
    are forfeited.
    """
    applied = await connection.execute(
        text(
            "INSERT INTO members AS m (member_id, version, registered_at, status)"
            " VALUES (:member_id, :version, :registered_at, coalesce(:status, 'ACTIVE'))"
            " ON CONFLICT (member_id) DO UPDATE SET version = excluded.version,"
            " registered_at = coalesce(excluded.registered_at, m.registered_at),"
            " status = coalesce(:status, m.status)"
            " WHERE m.version < excluded.version AND m.status <> 'CLOSED' RETURNING status"
        ),
        {
            "member_id": event.member_id,
            "version": event.version,
            "registered_at": event.occurred_at if event.type == "REGISTERED" else None,
            "status": _STATUS_AFTER.get(event.type),
        },
    )
    row = applied.first()
    if row is None or row.status == "ACTIVE":
        return None
    # A statement of its own: it must see the codes that were kept until the member's row was locked.
    await connection.execute(
        text("DELETE FROM member_codes WHERE member_id = :member_id"), {"member_id": event.member_id}
    )
    return await _forfeit(connection, event) if row.status == "CLOSED" else None


async def _forfeit(connection: Connection, event: MemberEvent) -> Balance | None:
    """Closes the account, which stays empty from now on by a constraint; what was owed is forgiven."""
    closed = await connection.execute(
        text(
            "INSERT INTO accounts AS a (member_id, balance, version, purchases, closed)"
            " VALUES (:member_id, 0, 0, 0, true) ON CONFLICT (member_id) DO UPDATE SET closed = true,"
            " balance = 0, debt = 0, version = a.version + (a.balance <> 0 OR a.debt <> 0)::int"
            " RETURNING coalesce(old.balance, 0) AS points, coalesce(old.debt, 0) AS debt, version"
        ),
        {"member_id": event.member_id},
    )
    account = closed.one()
    if account.points == 0 and account.debt == 0:
        return None
    now = Balance(event.member_id, account.version, 0)
    await write_entry(connection, now, -account.points, -account.debt, Entry("FORFEIT", str(event.id)))
    emptied = await connection.execute(
        text(
            "WITH emptied AS (UPDATE lots SET remaining = 0 WHERE member_id = :member_id AND remaining > 0"
            " RETURNING old.remaining AS points) SELECT coalesce(sum(points), 0) FROM emptied"
        ),
        {"member_id": event.member_id},
    )
    if emptied.scalar_one() != max(account.points, 0):
        raise AssertionError(f"the lots of member {event.member_id} do not add up to the balance")
    return now
