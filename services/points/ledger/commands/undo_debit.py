"""Giving an order's points back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_one, fetch_value
from services.points.ledger.commands.move_points import credit
from services.points.ledger.entries import Entry, EntryKind
from services.points.ledger.refusals import debit_conflict


@dataclass(frozen=True, slots=True)
class _Account:
    closed: bool
    version: int


async def undo_debit(connection: Connection, *, order_id: UUID, member_id: UUID) -> None:
    """Refuses the order for ever, and gives back what it took.

    What is given back to somebody who closed the account is forfeited at once. A repetition does
    nothing. Raises DEBIT_CONFLICT when the order is another member's, and BALANCE_LIMIT_REACHED (by
    constraint).
    """
    refused_before_it_came = await execute(
        connection,
        """
        INSERT INTO debits (order_id, member_id, points, state)
        VALUES (%(order_id)s, %(member_id)s, 0, 'UNDONE')
        ON CONFLICT DO NOTHING
        """,
        order_id=order_id,
        member_id=member_id,
    )
    if refused_before_it_came:
        return
    points = await fetch_value(
        connection,
        """
        UPDATE debits SET state = 'UNDONE'
        WHERE order_id = %(order_id)s AND member_id = %(member_id)s AND state = 'DEBITED'
        RETURNING points
        """,
        order_id=order_id,
        member_id=member_id,
    )
    if points is not None:
        await _give_back(connection, order_id, member_id, points)
        return
    owner = await fetch_value(
        connection, "SELECT member_id FROM debits WHERE order_id = %(order_id)s", order_id=order_id
    )
    if owner != member_id:
        raise debit_conflict(order_id)


async def _give_back(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> None:
    account = await fetch_one(
        connection,
        _Account,
        "SELECT closed, version FROM accounts WHERE member_id = %(member_id)s FOR UPDATE",
        member_id=member_id,
    )
    if account.closed:
        await _give_back_and_forfeit(connection, order_id, member_id, points, account.version + 2)
        return
    moved = await credit(connection, member_id, points, Entry(EntryKind.SPEND_UNDONE, str(order_id)))
    if moved.lot_points:
        await _restore_lots(connection, order_id, member_id, moved.lot_points)


async def _restore_lots(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> None:
    """Puts points back where they came from, the newest lot first: what was owed is out of the oldest.

    A lot whose time is over meanwhile expires at the next run.
    """
    restored = await fetch_value(
        connection,
        """
        WITH taken AS (
          SELECT lot_id, points, sum(points) OVER (ORDER BY lot_id DESC) - points AS newer
          FROM debit_lots
          WHERE member_id = %(member_id)s AND order_id = %(order_id)s
        ), back AS (
          UPDATE lots l SET remaining = l.remaining + least(t.points, %(points)s - t.newer)
          FROM taken t
          WHERE l.member_id = %(member_id)s AND l.id = t.lot_id AND t.newer < %(points)s
          RETURNING least(t.points, %(points)s - t.newer) AS points
        )
        SELECT coalesce(sum(points), 0)::bigint FROM back
        """,
        member_id=member_id,
        order_id=order_id,
        points=points,
    )
    if restored != points:
        raise AssertionError(f"order {order_id} took other points from the lots than from the balance")


async def _give_back_and_forfeit(
    connection: Connection, order_id: UUID, member_id: UUID, points: int, version: int
) -> None:
    """Writes both into the ledger; the lots stay empty."""
    await execute(
        connection,
        """
        WITH account AS (
          UPDATE accounts SET version = %(version)s WHERE member_id = %(member_id)s
        )
        INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)
        VALUES
          (%(member_id)s, %(version)s - 1, 'SPEND_UNDONE', %(points)s, %(points)s, %(reference)s),
          (%(member_id)s, %(version)s, 'FORFEIT', -%(points)s, 0, %(reference)s)
        """,
        member_id=member_id,
        points=points,
        version=version,
        reference=str(order_id),
    )
