"""Reads of accounts, entries and lots. A page costs the same however long the list is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.lists import Listing, SortKey, parse_bigint, parse_moment
from services.common.paging import Page
from services.points.ledger.account import Balance
from services.points.ledger.entries import EntryKind, LedgerEntry, cause_of
from services.points.periods import Period


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
class EntryRow:
    """An entry as the database has it."""

    sequence: int
    kind: str
    delta: int
    balance_after: int
    reference: str
    occurred_at: datetime
    debt_delta: int
    reason: str | None
    of_order: bool

    @property
    def entry(self) -> LedgerEntry:
        """The entry."""
        kind = EntryKind(self.kind)
        return LedgerEntry(
            sequence=self.sequence,
            kind=kind,
            delta=self.delta,
            balance_after=self.balance_after,
            cause=cause_of(kind, self.reference, of_order=self.of_order),
            occurred_at=self.occurred_at,
            debt_delta=self.debt_delta,
            reason=self.reason,
        )


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
# next to nothing (`ix_ledger_entries_time`).
#
# What a FORFEIT was caused by: an order that was undone since, whose points came back in the entry before
# it, or the event that closed the account.
ENTRIES = Listing(
    row=EntryRow,
    columns="""
    e.sequence, e.kind, e.delta, e.balance_after, e.reference, e.occurred_at, e.debt_delta, e.reason,
    CASE WHEN e.kind = 'FORFEIT' THEN coalesce((
      SELECT u.reference = e.reference FROM ledger_entries u
      WHERE u.member_id = e.member_id AND u.sequence = e.sequence - 1 AND u.kind = 'SPEND_UNDONE'
    ), false) ELSE false END AS of_order
    """,
    source="ledger_entries e",
    filters={
        "member_id": "e.member_id = %(member_id)s",
        "kind": "e.kind = %(kind)s",
        # As it stands in the index of what was not earned, `ix_ledger_entries_kind`.
        "rare_kind": "e.kind = %(rare_kind)s AND e.kind <> 'EARN'",
        "occurred_from": """
        e.occurred_at >= %(occurred_from)s::timestamptz
        AND e.sequence > coalesce((
          SELECT b.sequence FROM ledger_entries b
          WHERE b.member_id = %(member_id)s
            AND b.sequence %% 64 = 0
            AND b.occurred_at < %(occurred_from)s::timestamptz - interval '10 minutes'
          ORDER BY b.occurred_at DESC
          LIMIT 1
        ), 0)
        """,
        "occurred_until": """
        e.occurred_at < %(occurred_until)s::timestamptz
        AND e.sequence < coalesce((
          SELECT b.sequence FROM ledger_entries b
          WHERE b.member_id = %(member_id)s
            AND b.sequence %% 64 = 0
            AND b.occurred_at >= %(occurred_until)s::timestamptz + interval '10 minutes'
          ORDER BY b.occurred_at
          LIMIT 1
        ), 9223372036854775807)
        """,
    },
    keys={"sequence": SortKey("e.sequence", "sequence", parse_bigint)},
    key=SortKey("e.sequence", "sequence", parse_bigint),
    default_order="sequence desc",
)
"""Entries of a member, who is always asked for, newest first."""


def entry_filters(member_id: UUID, kind: EntryKind | None, period: Period) -> Mapping[str, Any]:
    """Returns what a list of entries is filtered by; `kind` of None is every kind."""
    rare = kind not in {None, EntryKind.EARN}
    return {
        "member_id": member_id,
        "kind": kind.value if kind and not rare else None,
        "rare_kind": kind.value if kind and rare else None,
        "occurred_from": period.start,
        "occurred_until": period.end,
    }


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
        after=page.after(parse_moment),
        limit=page.size + 1,
    )
    return page.cut(rows, lambda expiry: expiry.expires_at.isoformat())
