"""Crediting and taking points: the account, the entry and the lots, always together.

The caller holds no lock on another account; the account's row is locked first, the lots afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_one, fetch_value
from services.points.ledger.account import Balance
from services.points.ledger.entries import Entry, Moved
from services.points.ledger.queries import get_points
from services.points.ledger.refusals import insufficient_points


@dataclass(frozen=True, slots=True)
class _Credited:
    version: int
    balance: int
    debt: int
    old_balance: int
    old_debt: int


@dataclass(frozen=True, slots=True)
class _TakenFrom:
    lot_id: int
    points: int


async def credit(connection: Connection, member_id: UUID, points: int, entry: Entry) -> Moved:
    """Credits points, without a lot for what can be spent of them: that is the caller's to make.

    They first pay the debt, then fill a balance below zero. Raises BALANCE_LIMIT_REACHED, and
    MEMBER_CODE_UNKNOWN for a closed account (by constraint).
    """
    row = await fetch_one(
        connection,
        _Credited,
        """
        INSERT INTO accounts AS a (member_id, balance, version, purchases)
        VALUES (%(member_id)s, %(points)s, 1, 0)
        ON CONFLICT (member_id) DO UPDATE SET
          version = a.version + 1,
          balance = a.balance + excluded.balance - least(a.debt, excluded.balance),
          debt = a.debt - least(a.debt, excluded.balance)
        RETURNING
          version, balance, debt,
          coalesce(old.balance, 0) AS old_balance,
          coalesce(old.debt, 0) AS old_debt
        """,
        member_id=member_id,
        points=points,
    )
    now = Balance(member_id, row.version, row.balance, row.debt)
    lot_points = max(row.balance, 0) - max(row.old_balance, 0)
    moved = await write_entry(connection, now, row.balance - row.old_balance, row.debt - row.old_debt, entry)
    return replace(moved, lot_points=lot_points)


async def take(connection: Connection, member_id: UUID, points: int, entry: Entry) -> Moved:
    """Takes points out of the oldest lots. Raises INSUFFICIENT_POINTS before it changes anything."""
    now = await fetch_first(
        connection,
        Balance,
        """
        UPDATE accounts SET balance = balance - %(points)s, version = version + 1
        WHERE member_id = %(member_id)s AND balance >= %(points)s
        RETURNING member_id, version, balance, debt
        """,
        member_id=member_id,
        points=points,
    )
    if now is None:
        available = (await get_points(connection, member_id)).balance
        raise insufficient_points(required=points, available=available)
    await take_oldest(connection, member_id, points)
    return await write_entry(connection, now, -points, 0, entry)


async def write_entry(
    connection: Connection, now: Balance, delta: int, debt_delta: int, entry: Entry
) -> Moved:
    """Writes the ledger's entry number `now.version`."""
    occurred_at = await fetch_value(
        connection,
        """
        INSERT INTO ledger_entries
          (member_id, sequence, kind, delta, balance_after, reference, debt_delta, reason)
        VALUES (
          %(member_id)s, %(sequence)s, %(kind)s, %(delta)s, %(balance)s, %(reference)s, %(debt_delta)s,
          %(reason)s
        )
        RETURNING occurred_at
        """,
        member_id=now.member_id,
        sequence=now.version,
        kind=entry.kind.value,
        delta=delta,
        balance=now.balance,
        reference=entry.reference,
        debt_delta=debt_delta,
        reason=entry.reason,
    )
    return Moved(now, delta, debt_delta, occurred_at)


async def add_lot(connection: Connection, moved: Moved, expires_at: datetime | None) -> None:
    """Makes a lot of what a credit left to be spent, if there is any."""
    if moved.lot_points > 0:
        await execute(
            connection,
            """
            INSERT INTO lots (member_id, id, earned, remaining, expires_at)
            VALUES (%(member_id)s, %(id)s, %(points)s, %(points)s, %(expires_at)s)
            """,
            member_id=moved.now.member_id,
            id=moved.sequence,
            points=moved.lot_points,
            expires_at=expires_at,
        )


async def take_oldest(connection: Connection, member_id: UUID, points: int) -> None:
    """Takes points out of lots, the oldest first. The account must be locked.

    It is a statement of its own after the one that locked the account: it must see the lots as they are
    then. More lots than points are never looked at, for each has one at least.
    """
    taken = await fetch_all(
        connection,
        _TakenFrom,
        """
        WITH open AS (
          SELECT id, remaining, sum(remaining) OVER (ORDER BY id) - remaining AS older
          FROM (
            SELECT id, remaining FROM lots
            WHERE member_id = %(member_id)s AND remaining > 0
            ORDER BY id
            LIMIT %(points)s
          ) AS l
        )
        UPDATE lots l SET remaining = l.remaining - least(o.remaining, %(points)s - o.older)
        FROM open o
        WHERE l.member_id = %(member_id)s AND l.id = o.id AND o.older < %(points)s
        RETURNING l.id AS lot_id, least(o.remaining, %(points)s - o.older)::int AS points
        """,
        member_id=member_id,
        points=points,
    )
    if sum(one.points for one in taken) != points:
        raise AssertionError(f"the lots of member {member_id} do not add up to the balance")
