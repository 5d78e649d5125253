"""Taking an order's points."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.points.ledger.commands.move_points import TAKEN
from services.points.purchases.purchase import Balance

UNDONE = "UNDONE"

# The order is claimed before the account is locked; a claim that finds too few points is rolled back.
_CLAIM = text(
    "WITH claimed AS (INSERT INTO debits (order_id, member_id, points, state)"
    " VALUES (:order_id, :member_id, :points, 'DEBITED') ON CONFLICT DO NOTHING RETURNING 1),"
    " account AS (UPDATE accounts SET balance = balance - :points, version = version + 1"
    " WHERE member_id = :member_id AND balance >= :points AND EXISTS (SELECT FROM claimed)"
    " RETURNING balance, version)"
    " SELECT EXISTS (SELECT FROM claimed) AS claimed, a.balance, a.version"
    " FROM (VALUES (1)) AS one LEFT JOIN account a ON true"
)

_TAKE = text(
    "WITH <taken>,"
    " kept AS (INSERT INTO debit_lots (member_id, order_id, lot_id, points)"
    " SELECT :member_id, :order_id, id, points FROM taken RETURNING points),"
    " entry AS (INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)"
    " VALUES (:member_id, :version, 'SPEND', -:points, :balance, :reference)),"
    " answer AS (UPDATE debits SET balance_after = :balance WHERE order_id = :order_id)"
    " SELECT coalesce(sum(points), 0) FROM kept".replace("<taken>", TAKEN)
)


@dataclass(frozen=True)
class Debited:
    """The balance right after the debit was made, and the balance now."""

    balance_after: int
    now: Balance


async def debit(connection: Connection, *, order_id: UUID, member_id: UUID, points: int) -> Debited:
    """Takes points for an order, oldest lots first, once; a repetition gets the first answer.

    Raises INSUFFICIENT_POINTS, DEBIT_CONFLICT or ORDER_UNDONE, and then takes nothing.
    """
    order = {"order_id": order_id, "member_id": member_id, "points": points}
    tried = (await connection.execute(_CLAIM, order)).one()
    if not tried.claimed:
        return await _repeat(connection, order_id, member_id, points)
    if tried.balance is None:
        raise await insufficient_points(connection, member_id, points)
    moved = {**order, "balance": tried.balance, "version": tried.version, "reference": str(order_id)}
    taken = (await connection.execute(_TAKE, moved)).scalar_one()
    if taken != points:
        raise AssertionError(f"the lots of member {member_id} do not add up to the balance")
    return Debited(tried.balance, Balance(member_id, tried.version, tried.balance))


async def _repeat(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> Debited:
    result = await connection.execute(
        text(
            "SELECT d.member_id, d.points, d.state, d.balance_after, a.version, a.balance, a.debt"
            " FROM debits d LEFT JOIN accounts a USING (member_id) WHERE d.order_id = :order_id"
        ),
        {"order_id": order_id},
    )
    kept = result.one()
    if kept.member_id != member_id:
        raise debit_conflict(order_id)
    if kept.state == UNDONE:
        raise DomainError("ORDER_UNDONE", "the order was undone", order_id=order_id)
    if kept.points != points:
        raise debit_conflict(order_id)
    return Debited(kept.balance_after, Balance(member_id, kept.version, kept.balance, kept.debt))


async def insufficient_points(connection: Connection, member_id: UUID, points: int) -> DomainError:
    """The member has fewer points than are to be taken."""
    result = await connection.execute(
        text("SELECT balance FROM accounts WHERE member_id = :member_id"), {"member_id": member_id}
    )
    available = result.scalar_one_or_none() or 0
    return DomainError(
        "INSUFFICIENT_POINTS",
        f"this costs {points} points and there are {available}",
        required=points,
        available=available,
    )


def debit_conflict(order_id: UUID) -> DomainError:
    """The order was debited before with other content."""
    return DomainError("DEBIT_CONFLICT", "the order came before with other content", order_id=order_id)
