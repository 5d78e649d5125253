"""Taking points whose time is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_values

MOST_MEMBERS, MOST_LOTS = 500, 20_000

_DUE = """
SELECT expires_at, member_id FROM lots
WHERE remaining > 0
  AND expires_at <= now()
  AND member_id <> ALL(%(without)s)
  AND (expires_at, member_id) > (
    coalesce(%(after)s::timestamptz, '-infinity'),
    coalesce(%(member)s::uuid, '00000000-0000-0000-0000-000000000000')
  )
ORDER BY expires_at, member_id
LIMIT %(limit)s
"""

_LOCK = """
SELECT member_id FROM accounts
WHERE member_id = ANY(%(members)s)
ORDER BY member_id
FOR UPDATE SKIP LOCKED
"""

# A statement of its own after the one that locked the accounts: it must see the lots as they are then.
_EXPIRE = """
WITH due AS (
  SELECT member_id, id FROM lots
  WHERE member_id = ANY(%(members)s) AND remaining > 0 AND expires_at <= now()
  ORDER BY member_id, id
  LIMIT %(lots)s
), over AS (
  UPDATE lots l SET expired = l.expired + l.remaining, remaining = 0
  FROM due d
  WHERE l.member_id = d.member_id AND l.id = d.id
  RETURNING l.member_id, old.remaining AS points, l.expires_at
), sums AS (
  SELECT member_id, sum(points) AS points, count(*) AS lots, max(expires_at) AS newest
  FROM over
  GROUP BY member_id
), account AS (
  UPDATE accounts a SET balance = a.balance - s.points, version = a.version + 1
  FROM sums s
  WHERE a.member_id = s.member_id
  RETURNING a.member_id, a.version, a.balance, s.points, s.lots, s.newest
), entry AS (
  INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)
  SELECT
    member_id, version, 'EXPIRE', -points, balance,
    to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  FROM account
)
SELECT member_id, points, lots FROM account
"""


@dataclass(frozen=True, slots=True)
class Due:
    """The place of a lot among those that are due."""

    expires_at: datetime
    member_id: UUID


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a member."""

    member_id: UUID
    points: int
    lots: int


@dataclass(frozen=True, slots=True)
class Expired:
    """What a batch took: from whom, the points in all, and after which place to go on.

    `more` is False when nothing is due any more.
    """

    members: Sequence[UUID]
    points: int
    more: bool
    last: Due | None


async def due_lots(
    connection: Connection, after: Due | None, *, without: Collection[UUID] = (), limit: int = MOST_MEMBERS
) -> Sequence[Due]:
    """Returns the places of lots that are due, after a place, but for those of some members."""
    return await fetch_all(
        connection,
        Due,
        _DUE,
        after=after and after.expires_at,
        member=after and after.member_id,
        without=list(without),
        limit=limit,
    )


async def expire_members(
    connection: Connection, members: Collection[UUID], *, most_lots: int = MOST_LOTS
) -> Sequence[Taken]:
    """Takes the points of these members that are due, or so many lots; one entry each.

    Members whose account is locked by another transaction are left to the next run.
    """
    unlocked = await fetch_values(connection, _LOCK, members=list(members))
    if not unlocked:
        return ()
    return await fetch_all(connection, Taken, _EXPIRE, members=unlocked, lots=most_lots)


async def expire_lots(
    connection: Connection,
    after: Due | None = None,
    *,
    without: Collection[UUID] = (),
    limit: int = MOST_MEMBERS,
    most_lots: int = MOST_LOTS,
) -> Expired:
    """Takes points that are due of at most `limit` members, after a place, but for those of some members.

    It takes all of them, or so many lots; then the rest of these members is due for the next batch.
    """
    due = await due_lots(connection, after, without=without, limit=limit)
    if not due:
        return Expired((), 0, more=False, last=after)
    taken = await expire_members(connection, {lot.member_id for lot in due}, most_lots=most_lots)
    cut = sum(one.lots for one in taken) == most_lots
    return Expired(
        [one.member_id for one in taken],
        sum(one.points for one in taken),
        more=cut or len(due) == limit,
        last=after if cut else due[-1],
    )
