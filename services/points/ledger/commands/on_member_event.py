"""What follows in the ledger from what happens to a member: a closed account is emptied."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_one, fetch_value
from services.common.members import Closed, MemberEvent
from services.points.ledger.account import Balance
from services.points.ledger.commands.move_points import write_entry
from services.points.ledger.entries import Entry, EntryKind


@dataclass(frozen=True, slots=True)
class _Closed:
    version: int
    points: int
    debt: int


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Closes the account of a member who is gone."""
    if isinstance(event, Closed):
        await _close_account(connection, event.member_id, event.id)


async def _close_account(connection: Connection, member_id: UUID, event_id: UUID) -> None:
    """Forfeits what is there and forgives what is owed; the account stays empty, by a constraint."""
    account = await fetch_one(
        connection,
        _Closed,
        """
        INSERT INTO accounts AS a (member_id, balance, version, purchases, closed)
        VALUES (%(member_id)s, 0, 0, 0, true)
        ON CONFLICT (member_id) DO UPDATE SET
          closed = true,
          balance = 0,
          debt = 0,
          version = a.version + (a.balance <> 0 OR a.debt <> 0)::int
        RETURNING version, coalesce(old.balance, 0) AS points, coalesce(old.debt, 0) AS debt
        """,
        member_id=member_id,
    )
    if account.points == 0 and account.debt == 0:
        return
    entry = Entry(EntryKind.FORFEIT, str(event_id))
    now = Balance(member_id, account.version, 0)
    await write_entry(connection, now, -account.points, -account.debt, entry)
    emptied = await fetch_value(
        connection,
        """
        WITH emptied AS (
          UPDATE lots SET remaining = 0
          WHERE member_id = %(member_id)s AND remaining > 0
          RETURNING old.remaining AS points
        )
        SELECT coalesce(sum(points), 0)::bigint FROM emptied
        """,
        member_id=member_id,
    )
    if emptied != max(account.points, 0):
        raise AssertionError(f"the lots of member {member_id} do not add up to the balance")
