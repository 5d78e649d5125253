"""Giving an order's points back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.points.commands.debit import debit_conflict
from services.points.purchases import Balance


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
        text(
            "UPDATE accounts SET balance = balance + CASE WHEN closed THEN 0 ELSE :points END,"
            " version = version + CASE WHEN closed THEN 2 ELSE 1 END"
            " WHERE member_id = :member_id RETURNING balance, version, closed"
        ),
        {"member_id": member_id, "points": points},
    )
    account = locked.one()
    if account.closed:
        return await _give_back_and_forfeit(connection, order_id, member_id, points, account.version)
    restored = await connection.execute(
        text(
            "WITH entry AS (INSERT INTO ledger_entries"
            " (member_id, sequence, kind, delta, balance_after, reference)"
            " VALUES (:member_id, :version, 'SPEND_UNDONE', :points, :balance, :reference)),"
            " restored AS (UPDATE lots l SET remaining = l.remaining + d.points FROM debit_lots d"
            " WHERE d.member_id = :member_id AND d.order_id = :order_id"
            " AND l.member_id = d.member_id AND l.id = d.lot_id RETURNING d.points)"
            " SELECT coalesce(sum(points), 0) FROM restored"
        ),
        {
            "member_id": member_id,
            "order_id": order_id,
            "points": points,
            "version": account.version,
            "balance": account.balance,
            "reference": str(order_id),
        },
    )
    if restored.scalar_one() != points:
        raise AssertionError(f"order {order_id} took other points from the lots than from the balance")
    return Balance(member_id, account.version, account.balance)


async def _give_back_and_forfeit(
    connection: Connection, order_id: UUID, member_id: UUID, points: int, version: int
) -> Balance:
    """Tells both in the ledger; the lots stay empty."""
    await connection.execute(
        text(
            "INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)"
            " VALUES (:member_id, :version - 1, 'SPEND_UNDONE', :points, :points, :reference),"
            " (:member_id, :version, 'FORFEIT', -:points, 0, :reference)"
        ),
        {"member_id": member_id, "points": points, "version": version, "reference": str(order_id)},
    )
    return Balance(member_id, version, 0)


async def _nothing_to_undo(connection: Connection, order_id: UUID, member_id: UUID) -> Balance | None:
    result = await connection.execute(
        text(
            "SELECT d.member_id, a.version, a.balance"
            " FROM debits d LEFT JOIN accounts a USING (member_id) WHERE d.order_id = :order_id"
        ),
        {"order_id": order_id},
    )
    kept = result.one()
    if kept.member_id != member_id:
        raise debit_conflict(order_id)
    return None if kept.version is None else Balance(member_id, kept.version, kept.balance)
