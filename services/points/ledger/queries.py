"""Reads of accounts, entries and lots. A page costs the same however long the list is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.paging import Page
from services.points.ledger.account import Balance
from services.points.ledger.entries import EntryKind, LedgerEntry
from services.points.periods import Period

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MemberPoints:
    """What staff see of a member's points."""

    balance: int
    debt: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Expiry:
    """Points that expire at one moment."""

    expires_at: datetime
    points: int


@dataclass(frozen=True, slots=True)
class _EntryRow:
    sequence: int
    kind: str
    delta: int
    balance_after: int
    reference: str
    occurred_at: datetime
    debt_delta: int
    reason: str | None


async def get_points(connection: Connection, member_id: UUID) -> MemberPoints:
    """Returns what is in a member's account; one who never had points has none."""
    found = await fetch_first(
        connection,
        MemberPoints,
        "SELECT balance, debt, closed FROM accounts WHERE member_id = %(member_id)s",
        member_id=member_id,
    )
    return found or MemberPoints(0, 0, closed=False)


async def first_bonus_is_due(connection: Connection, member_id: UUID) -> bool:
    """Returns whether none of a member's purchases has earned yet: the next that does gets the bonus."""
    had = await fetch_value(
        connection,
        "SELECT first_bonus IS NOT NULL FROM accounts WHERE member_id = %(member_id)s",
        member_id=member_id,
    )
    return not had


async def list_balances(connection: Connection, *, after: UUID, limit: int) -> Sequence[Balance]:
    """Returns balances of the members after one, in the order of their ids."""
    return await fetch_all(
        connection,
        Balance,
        """
        SELECT member_id, version, balance, debt FROM accounts
        WHERE member_id > %(after)s
        ORDER BY member_id
        LIMIT %(limit)s
        """,
        after=after,
        limit=limit,
    )


async def balances_of(connection: Connection, members: Sequence[UUID]) -> Sequence[Balance]:
    """Returns balances of these members, without those who never had points."""
    return await fetch_all(
        connection,
        Balance,
        "SELECT member_id, version, balance, debt FROM accounts WHERE member_id = ANY(%(members)s)",
        members=list(members),
    )


# An entry's number and its time do not quite agree, for its time is when its transaction began and its
# number is given when the account is locked. No transaction lasts for ten minutes, so by that much the
# bounds are wider than the period. Every 64th entry is in an index by time, which costs those who write
# next to nothing (`ix_ledger_entries_time`). A bound that is not asked for is NULL and finds nothing.
_ENTRIES = sql.SQL(
    """
    SELECT sequence, kind, delta, balance_after, reference, occurred_at, debt_delta, reason
    FROM ledger_entries
    WHERE member_id = %(member_id)s
      AND sequence < %(after)s
      AND {of_kind}
      AND (%(start)s::timestamptz IS NULL OR occurred_at >= %(start)s::timestamptz)
      AND (%(end)s::timestamptz IS NULL OR occurred_at < %(end)s::timestamptz)
      AND sequence > coalesce(
        (
          SELECT sequence FROM ledger_entries
          WHERE member_id = %(member_id)s
            AND sequence %% 64 = 0
            AND occurred_at < %(start)s::timestamptz - interval '10 minutes'
          ORDER BY occurred_at DESC
          LIMIT 1
        ),
        0
      )
      AND sequence < coalesce(
        (
          SELECT sequence FROM ledger_entries
          WHERE member_id = %(member_id)s
            AND sequence %% 64 = 0
            AND occurred_at >= %(end)s::timestamptz + interval '10 minutes'
          ORDER BY occurred_at
          LIMIT 1
        ),
        9223372036854775807
      )
    ORDER BY sequence DESC
    LIMIT %(limit)s
    """
)
_OF_ANY_KIND = _ENTRIES.format(of_kind=sql.SQL("(%(kind)s::text IS NULL OR kind = %(kind)s::text)"))
# As it stands in the index of what was not earned, `ix_ledger_entries_kind`.
_OF_A_RARE_KIND = _ENTRIES.format(of_kind=sql.SQL("kind = %(kind)s::text AND kind <> 'EARN'"))


async def list_entries(
    connection: Connection, page: Page, *, member_id: UUID, kind: EntryKind | None, period: Period
) -> tuple[Sequence[LedgerEntry], str]:
    """Returns a page of a member's entries, newest first; `kind` of None is every kind."""
    after = page.after(int)
    rows = await fetch_all(
        connection,
        _EntryRow,
        _OF_ANY_KIND if kind in {None, EntryKind.EARN} else _OF_A_RARE_KIND,
        member_id=member_id,
        after=_MOST if after is None else after,
        kind=kind and kind.value,
        start=period.start,
        end=period.end,
        limit=page.size + 1,
    )
    return page.cut([_entry(row) for row in rows], lambda entry: entry.sequence)


def _entry(row: _EntryRow) -> LedgerEntry:
    return LedgerEntry(
        sequence=row.sequence,
        kind=EntryKind(row.kind),
        delta=row.delta,
        balance_after=row.balance_after,
        reference=row.reference,
        occurred_at=row.occurred_at,
        debt_delta=row.debt_delta,
        reason=row.reason,
    )


async def list_expiries(
    connection: Connection, page: Page, *, member_id: UUID
) -> tuple[Sequence[Expiry], str]:
    """Returns a page of a member's points that expire, by the moment at which they do, the soonest first."""
    rows = await fetch_all(
        connection,
        Expiry,
        """
        SELECT expires_at, sum(remaining)::bigint AS points FROM lots
        WHERE member_id = %(member_id)s
          AND remaining > 0
          AND expires_at > coalesce(%(after)s::timestamptz, '-infinity')
        GROUP BY expires_at
        ORDER BY expires_at
        LIMIT %(limit)s
        """,
        member_id=member_id,
        after=page.after(_moment),
        limit=page.size + 1,
    )
    return page.cut(rows, lambda expiry: expiry.expires_at.isoformat())


def _moment(position: str) -> datetime:
    """Returns the moment in a page token. Raises ValueError unless it is one."""
    moment = datetime.fromisoformat(position)
    if moment.tzinfo is None:
        raise ValueError(position)
    return moment
