"""Crediting and taking points: the account, the entry and the lots, always together.

Whoever calls holds no lock on another account; the account's row is locked first, the lots afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.points.purchases.purchase import Balance


@dataclass(frozen=True, slots=True)
class Entry:
    """Why points move: a kind of the ledger's, what caused it, and the words of who said why."""

    kind: str
    reference: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry of the ledger: what it changed, and the account right after it.

    `lot_points` of a credit were neither owed nor missing: they can be spent.
    """

    now: Balance
    delta: int
    debt_delta: int
    occurred_at: datetime
    lot_points: int = 0

    @property
    def sequence(self) -> int:
        """The entry's number in the member's ledger."""
        return self.now.version


# A credit first pays the debt, then fills a balance below zero; only the rest is in a lot.
_CREDIT = text(
    "INSERT INTO accounts AS a (member_id, balance, version, purchases)"
    " VALUES (:member_id, :points, 1, 0)"
    " ON CONFLICT (member_id) DO UPDATE SET version = a.version + 1,"
    " balance = a.balance + excluded.balance - least(a.debt, excluded.balance),"
    " debt = a.debt - least(a.debt, excluded.balance)"
    " RETURNING version, balance, debt, coalesce(old.balance, 0) AS old_balance,"
    " coalesce(old.debt, 0) AS old_debt"
)

_ENTRY = text(
    "INSERT INTO ledger_entries"
    " (member_id, sequence, kind, delta, balance_after, reference, debt_delta, reason)"
    " VALUES (:member_id, :sequence, :kind, :delta, :balance, :reference, :debt_delta, :reason)"
    " RETURNING occurred_at"
)

TAKEN = (
    "open AS (SELECT id, remaining, sum(remaining) OVER (ORDER BY id) - remaining AS older FROM"
    " (SELECT id, remaining FROM lots WHERE member_id = :member_id AND remaining > 0"
    " ORDER BY id LIMIT :points) AS l),"
    " taken AS (UPDATE lots l SET remaining = l.remaining - least(o.remaining, :points - o.older)"
    " FROM open o WHERE l.member_id = :member_id AND l.id = o.id AND o.older < :points"
    " RETURNING l.id, least(o.remaining, :points - o.older)::int AS points)"
)
"""Takes `points` out of a member's lots, the oldest first: `taken` tells how many from which. More lots
than points are never looked at, for each has one at least.

For a statement of its own after the one that locked the account: it must see the lots as they are then.
"""

_TAKE_OLDEST = text("WITH <taken> SELECT id, points FROM taken".replace("<taken>", TAKEN))


async def credit(connection: Connection, member_id: UUID, points: int, entry: Entry) -> Moved:
    """Credits points, without a lot for what can be spent of them: that is the caller's.

    Raises BALANCE_LIMIT_REACHED, and MEMBER_CODE_UNKNOWN for a closed account (by constraint).
    """
    changed = await connection.execute(_CREDIT, {"member_id": member_id, "points": points})
    row = changed.one()
    now = Balance(member_id, row.version, row.balance, row.debt)
    lot_points = max(row.balance, 0) - max(row.old_balance, 0)
    moved = await write_entry(connection, now, row.balance - row.old_balance, row.debt - row.old_debt, entry)
    return replace(moved, lot_points=lot_points)


async def write_entry(
    connection: Connection, now: Balance, delta: int, debt_delta: int, entry: Entry
) -> Moved:
    """Writes the ledger's entry number `now.version`."""
    written = await connection.execute(
        _ENTRY,
        {
            "member_id": now.member_id,
            "sequence": now.version,
            "kind": entry.kind,
            "delta": delta,
            "balance": now.balance,
            "reference": entry.reference,
            "debt_delta": debt_delta,
            "reason": entry.reason,
        },
    )
    return Moved(now, delta, debt_delta, written.scalar_one())


async def add_lot(connection: Connection, moved: Moved, expires_at: datetime | None) -> None:
    """Makes a lot of what a credit left to be spent, if there is any."""
    if moved.lot_points > 0:
        await connection.execute(
            text(
                "INSERT INTO lots (member_id, id, earned, remaining, expires_at)"
                " VALUES (:member_id, :id, :points, :points, :expires_at)"
            ),
            {
                "member_id": moved.now.member_id,
                "id": moved.sequence,
                "points": moved.lot_points,
                "expires_at": expires_at,
            },
        )


async def take_oldest(connection: Connection, member_id: UUID, points: int) -> dict[int, int]:
    """Takes points out of lots, the oldest first; how many from which lot. The account must be locked."""
    rows = await connection.execute(_TAKE_OLDEST, {"member_id": member_id, "points": points})
    taken = {row.id: row.points for row in rows}
    if sum(taken.values()) != points:
        raise AssertionError(f"the lots of member {member_id} do not add up to the balance")
    return taken
