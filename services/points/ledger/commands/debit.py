"""Taking an order's points."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_one, fetch_value
from services.points.ledger.queries import get_points
from services.points.ledger.refusals import debit_conflict, insufficient_points, order_undone

UNDONE = "UNDONE"


@dataclass(frozen=True, slots=True)
class _Claimed:
    """Whether the order is new, and the account after the debit, None when it had too few points."""

    claimed: bool
    balance: int | None
    version: int | None


@dataclass(frozen=True, slots=True)
class _Debit:
    member_id: UUID
    points: int
    state: str
    balance_after: int


# The order is claimed before the account is locked; a claim that finds too few points is rolled back.
_CLAIM = """
WITH claimed AS (
  INSERT INTO debits (order_id, member_id, points, state)
  VALUES (%(order_id)s, %(member_id)s, %(points)s, 'DEBITED')
  ON CONFLICT DO NOTHING
  RETURNING 1
), account AS (
  UPDATE accounts SET balance = balance - %(points)s, version = version + 1
  WHERE member_id = %(member_id)s AND balance >= %(points)s AND EXISTS (SELECT FROM claimed)
  RETURNING balance, version
)
SELECT EXISTS (SELECT FROM claimed) AS claimed, a.balance, a.version
FROM (VALUES (1)) AS one
LEFT JOIN account a ON true
"""

# Out of the oldest lots, as `take_oldest` does it. A statement of its own after the one that locked the
# account: it must see the lots as they are then.
_TAKE = """
WITH open AS (
  SELECT id, remaining, sum(remaining) OVER (ORDER BY id) - remaining AS older
  FROM (
    SELECT id, remaining FROM lots
    WHERE member_id = %(member_id)s AND remaining > 0
    ORDER BY id
    LIMIT %(points)s
  ) AS l
), taken AS (
  UPDATE lots l SET remaining = l.remaining - least(o.remaining, %(points)s - o.older)
  FROM open o
  WHERE l.member_id = %(member_id)s AND l.id = o.id AND o.older < %(points)s
  RETURNING l.id, least(o.remaining, %(points)s - o.older)::int AS points
), kept AS (
  INSERT INTO debit_lots (member_id, order_id, lot_id, points)
  SELECT %(member_id)s, %(order_id)s, id, points FROM taken
  RETURNING points
), entry AS (
  INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)
  VALUES (%(member_id)s, %(version)s, 'SPEND', -%(points)s, %(balance)s, %(reference)s)
), answer AS (
  UPDATE debits SET balance_after = %(balance)s WHERE order_id = %(order_id)s
)
SELECT coalesce(sum(points), 0)::bigint FROM kept
"""


async def debit(connection: Connection, *, order_id: UUID, member_id: UUID, points: int) -> int:
    """Takes points for an order, oldest lots first, once; returns the balance right after that.

    A repetition gets the first result. Raises INSUFFICIENT_POINTS, DEBIT_CONFLICT or ORDER_UNDONE, and then
    takes nothing.
    """
    tried = await fetch_one(
        connection, _Claimed, _CLAIM, order_id=order_id, member_id=member_id, points=points
    )
    if not tried.claimed:
        return await _repeat(connection, order_id, member_id, points)
    if tried.balance is None:
        available = (await get_points(connection, member_id)).balance
        raise insufficient_points(required=points, available=available)
    taken = await fetch_value(
        connection,
        _TAKE,
        order_id=order_id,
        member_id=member_id,
        points=points,
        balance=tried.balance,
        version=tried.version,
        reference=str(order_id),
    )
    if taken != points:
        raise AssertionError(f"the lots of member {member_id} do not add up to the balance")
    return tried.balance


async def _repeat(connection: Connection, order_id: UUID, member_id: UUID, points: int) -> int:
    kept = await fetch_one(
        connection,
        _Debit,
        "SELECT member_id, points, state, balance_after FROM debits WHERE order_id = %(order_id)s",
        order_id=order_id,
    )
    if kept.member_id != member_id:
        raise debit_conflict(order_id)
    if kept.state == UNDONE:
        raise order_undone(order_id)
    if kept.points != points:
        raise debit_conflict(order_id)
    return kept.balance_after
