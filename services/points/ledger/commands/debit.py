"""Taking orders' points, many in one transaction; each stands or falls alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from services.common.db import Connection, execute, fetch_all, fetch_values
from services.common.errors import DomainError
from services.points.ledger.refusals import debit_conflict, insufficient_points, order_undone

UNDONE = "UNDONE"


@dataclass(frozen=True, slots=True)
class NewDebit:
    """So many points for an order; the order is the key."""

    order_id: UUID
    member_id: UUID
    points: int


Debited = int | DomainError
"""The balance right after the debit was made; or why there is none."""
_Waiting = Mapping[int, NewDebit]
"""Debits by their place in the list."""


@dataclass(frozen=True, slots=True)
class _Account:
    member_id: UUID
    balance: int
    version: int


@dataclass(frozen=True, slots=True)
class _Share:
    """What an order takes of an account: from the point `upto - points` to the point `upto` of its lots."""

    order_id: UUID
    member_id: UUID
    points: int
    upto: int
    balance_after: int
    sequence: int


@dataclass(frozen=True, slots=True)
class _Kept:
    order_id: UUID
    member_id: UUID
    points: int
    state: str
    balance_after: int | None


# Orders are claimed before accounts are locked, as an undo does it. A claim that finds too few points is
# taken out again before the commit.
_CLAIM = """
INSERT INTO debits (order_id, member_id, points, state)
SELECT order_id, member_id, points, 'DEBITED'
FROM jsonb_to_recordset(%(orders)s) AS g (order_id uuid, member_id uuid, points int)
ORDER BY order_id
ON CONFLICT DO NOTHING
RETURNING order_id
"""

_LOCK = """
SELECT member_id, balance, version FROM accounts
WHERE member_id = ANY(%(member_ids)s)
ORDER BY member_id
FOR NO KEY UPDATE
"""

# Out of the oldest lots, as `take_oldest` does it: each order gets the stretch of them that its points are.
# A statement of its own after the one that locked the accounts: it must see the lots as they are then.
_TAKE = """
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(shares)s) AS g (
    order_id uuid, member_id uuid, points int, upto bigint, balance_after int, sequence bigint
  )
), sums AS (
  SELECT member_id, sum(points) AS points, count(*) AS orders FROM given GROUP BY member_id
), open AS MATERIALIZED (
  SELECT s.member_id, s.points, l.id, l.remaining,
    sum(l.remaining) OVER (PARTITION BY s.member_id ORDER BY l.id) - l.remaining AS older
  FROM sums s CROSS JOIN LATERAL (
    SELECT id, remaining FROM lots
    WHERE member_id = s.member_id AND remaining > 0
    ORDER BY id
    LIMIT s.points
  ) AS l
), account AS (
  UPDATE accounts a SET balance = a.balance - s.points, version = a.version + s.orders
  FROM sums s WHERE a.member_id = s.member_id
), taken AS (
  UPDATE lots l SET remaining = l.remaining - least(o.remaining, o.points - o.older)
  FROM open o
  WHERE l.member_id = o.member_id AND l.id = o.id AND o.older < o.points
), kept AS (
  INSERT INTO debit_lots (member_id, order_id, lot_id, points)
  SELECT g.member_id, g.order_id, o.id,
    least(g.upto, o.older + o.remaining) - greatest(g.upto - g.points, o.older)
  FROM given g
  JOIN open o
    ON o.member_id = g.member_id AND o.older < g.upto AND o.older + o.remaining > g.upto - g.points
  RETURNING order_id, points
), entry AS (
  INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)
  SELECT member_id, sequence, 'SPEND', -points, balance_after, order_id FROM given
), answer AS (
  UPDATE debits d SET balance_after = g.balance_after FROM given g WHERE d.order_id = g.order_id
)
SELECT g.member_id FROM given g
LEFT JOIN (SELECT order_id, sum(points) AS points FROM kept GROUP BY order_id) AS k USING (order_id)
WHERE g.points IS DISTINCT FROM k.points
"""

_BEFORE = """
SELECT order_id, member_id, points, state, balance_after FROM debits WHERE order_id = ANY(%(order_ids)s)
"""


async def debit_orders(connection: Connection, orders: Sequence[NewDebit]) -> list[Debited]:
    """Takes points for each order, oldest lots first, once; those of one member in the order of the list.

    Returns for each the balance right after, the first result for a repetition; or INSUFFICIENT_POINTS,
    DEBIT_CONFLICT or ORDER_UNDONE, and then nothing is taken for it.
    """
    outcomes: dict[int, Debited] = {}
    waiting: _Waiting = dict(enumerate(orders))
    while waiting:
        first: dict[UUID, int] = {}
        for place, order in waiting.items():
            first.setdefault(order.order_id, place)
        outcomes |= await _debit(connection, {place: waiting[place] for place in first.values()})
        rest = {place: order for place, order in waiting.items() if place not in outcomes}
        outcomes |= await _debited_before(connection, rest)
        # One whose order came first with other content, and was refused, is tried on its own.
        waiting = {place: order for place, order in rest.items() if place not in outcomes}
    return [outcomes[place] for place in range(len(orders))]


async def _debit(connection: Connection, waiting: _Waiting) -> dict[int, Debited]:
    """Debits those orders that never came; returns their outcomes."""
    claimed = set(
        await fetch_values(connection, _CLAIM, orders=Jsonb([asdict(order) for order in waiting.values()]))
    )
    new = {place: order for place, order in waiting.items() if order.order_id in claimed}
    if not new:
        return {}
    accounts = await fetch_all(
        connection, _Account, _LOCK, member_ids=[order.member_id for order in new.values()]
    )
    judged = dict(zip(new, _in_turn(list(new.values()), accounts), strict=True))
    shares = [one for one in judged.values() if isinstance(one, _Share)]
    if shares:
        await _take(connection, shares)
    refused = [new[place].order_id for place, one in judged.items() if isinstance(one, DomainError)]
    if refused:
        await execute(connection, "DELETE FROM debits WHERE order_id = ANY(%(ids)s)", ids=refused)
    return {place: one.balance_after if isinstance(one, _Share) else one for place, one in judged.items()}


def _in_turn(orders: Sequence[NewDebit], accounts: Sequence[_Account]) -> list[_Share | DomainError]:
    """Returns for each order, one after the other, what it takes of its account, or INSUFFICIENT_POINTS."""
    there = {account.member_id: account for account in accounts}
    taken: defaultdict[UUID, int] = defaultdict(int)
    entries: defaultdict[UUID, int] = defaultdict(int)
    outcomes: list[_Share | DomainError] = []
    for order in orders:
        member_id, points = order.member_id, order.points
        account = there.get(member_id)
        left = account.balance - taken[member_id] if account else 0
        if account is None or points > left:
            outcomes.append(insufficient_points(required=points, available=left))
            continue
        taken[member_id] += points
        entries[member_id] += 1
        outcomes.append(
            _Share(
                order.order_id,
                member_id,
                points,
                upto=taken[member_id],
                balance_after=left - points,
                sequence=account.version + entries[member_id],
            )
        )
    return outcomes


async def _take(connection: Connection, shares: Sequence[_Share]) -> None:
    wrong = await fetch_values(connection, _TAKE, shares=Jsonb([asdict(share) for share in shares]))
    if wrong:
        raise AssertionError(f"the lots of member {wrong[0]} do not add up to the balance")


async def _debited_before(connection: Connection, waiting: _Waiting) -> dict[int, Debited]:
    """Returns the outcomes of orders that came before."""
    if not waiting:
        return {}
    ids = [order.order_id for order in waiting.values()]
    kept = {row.order_id: row for row in await fetch_all(connection, _Kept, _BEFORE, order_ids=ids)}
    return {
        place: _repeated(kept[order.order_id], order)
        for place, order in waiting.items()
        if order.order_id in kept
    }


def _repeated(kept: _Kept, order: NewDebit) -> Debited:
    if kept.member_id != order.member_id:
        return debit_conflict(order.order_id)
    if kept.state == UNDONE:
        return order_undone(order.order_id)
    if kept.points != order.points or kept.balance_after is None:
        return debit_conflict(order.order_id)
    return kept.balance_after
