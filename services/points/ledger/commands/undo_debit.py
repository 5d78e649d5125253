"""Giving an order's points back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.points.ledger.commands.debit import debit_conflict
from services.points.ledger.commands.move_points import Entry, credit
from services.points.purchases.purchase import Balance


async def undo_debit(connection: Connection, *, order_id: UUID, member_id: UUID) -> Balance | None:
    """Refuses the order for ever, and gives back what it took; answers the balance if there is one.

    What is given back to somebody who closed the account is forfeited at once. A repetition does
    nothing. Raises DEBIT_CONFLICT when the order is another member's, and BALANCE_LIMIT_REACHED (by
    constraint).
    """
    order = {"order_id": order_id, "member_id": member_id}
    tombstone = await connection.execute(
        text(
            "INSERT INTO debits (order_id, member_id, points, state)"
            " VALUES (:order_id, :member_id, 0, 'UNDONE') ON CONFLICT DO NOTHING RETURNING 1"
        ),
        order,
    )
    if tombstone.first() is None:
        undone = await connection.execute(
            text(
                "UPDATE debits SET state = 'UNDONE' WHERE order_id = :order_id AND member_id = :member_id"
                " AND state = 'DEBITED' RETURNING points"
            ),
            order,
        )
        points = undone.scalar_one_or_none()
        if points is not None:
            return await _give_back(connection, order_id, member_id, points)
    return await _nothing_to_undo(connection, order_id, member_id)


async def _give_back(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> Balance:
    locked = await connection.execute(
        text("SELECT closed, version FROM accounts WHERE member_id = :member_id FOR UPDATE"),
        {"member_id": member_id},
    )
    account = locked.one()
    if account.closed:
        return await _give_back_and_forfeit(connection, order_id, member_id, points, account.version + 2)
    moved = await credit(connection, member_id, points, Entry("SPEND_UNDONE", str(order_id)))
    if moved.lot_points:
        await _restore_lots(connection, order_id, member_id, moved.lot_points)
    return moved.now


async def _restore_lots(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> None:
    """Puts points back where they came from, the newest lot first: what was owed is out of the oldest.

    A lot whose time is over meanwhile expires at the next run.
    """
    restored = await connection.execute(
        text(
            "WITH taken AS (SELECT lot_id, points, sum(points) OVER (ORDER BY lot_id DESC) - points AS newer"
            " FROM debit_lots WHERE member_id = :member_id AND order_id = :order_id),"
            " back AS (UPDATE lots l SET remaining = l.remaining + least(t.points, :points - t.newer)"
            " FROM taken t WHERE l.member_id = :member_id AND l.id = t.lot_id AND t.newer < :points"
            " RETURNING least(t.points, :points - t.newer) AS points)"
            " SELECT coalesce(sum(points), 0) FROM back"
        ),
        {"member_id": member_id, "order_id": order_id, "points": points},
    )
    if restored.scalar_one() != points:
        raise AssertionError(f"order {order_id} took other points from the lots than from the balance")


async def _give_back_and_forfeit(
    connection: Connection, order_id: UUID, member_id: UUID, points: int, version: int
) -> Balance:
    """Tells both in the ledger; the lots stay empty."""
    await connection.execute(
        text(
            "WITH account AS (UPDATE accounts SET version = :version WHERE member_id = :member_id)"
            " INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)"
            " VALUES (:member_id, :version - 1, 'SPEND_UNDONE', :points, :points, :reference),"
            " (:member_id, :version, 'FORFEIT', -:points, 0, :reference)"
        ),
        {"member_id": member_id, "points": points, "version": version, "reference": str(order_id)},
    )
    return Balance(member_id, version, 0)


async def _nothing_to_undo(connection: Connection, order_id: UUID, member_id: UUID) -> Balance | None:
    result = await connection.execute(
        text(
            "SELECT d.member_id, a.version, a.balance, a.debt"
            " FROM debits d LEFT JOIN accounts a USING (member_id) WHERE d.order_id = :order_id"
        ),
        {"order_id": order_id},
    )
    kept = result.one()
    if kept.member_id != member_id:
        raise debit_conflict(order_id)
    return None if kept.version is None else Balance(member_id, kept.version, kept.balance, kept.debt)
