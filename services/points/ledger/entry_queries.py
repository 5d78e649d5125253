"""Reads of the ledger. A page costs the same however long it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import TextClause, text

from services.common.legacy_db import Connection
from services.common.paging import Page
from services.points.periods import Period

_EARN = "EARN"
_MOST = 2**63 - 1


@dataclass(frozen=True)
class EntryRow:
    """A movement of points."""

    sequence: int
    kind: str
    delta: int
    balance_after: int
    reference: str
    occurred_at: datetime
    debt_delta: int
    reason: str | None


# An entry's number and its time do not quite agree, for its time is when its transaction began and its
# number is given when the account is locked. No transaction lasts for ten minutes, so by that much the
# bounds are wider than the period. Every 64th entry is in an index by time, which costs those who write
# next to nothing (`ix_ledger_entries_time`).
_BOUND = (
    "(SELECT sequence FROM ledger_entries WHERE member_id = :member_id AND sequence % 64 = 0"
    " AND occurred_at <time> ORDER BY occurred_at <order> LIMIT 1)"
)
_AFTER = _BOUND.replace("<time>", "< :start - interval '10 minutes'").replace("<order>", "DESC")
_BEFORE = _BOUND.replace("<time>", ">= :end + interval '10 minutes'").replace("<order>", "ASC")


@cache
def _entries(kind: str | None, *, start: bool, end: bool) -> TextClause:
    conditions = ["member_id = :member_id", "sequence < :after"]
    if kind:
        conditions.append("kind = :kind")
    if kind and kind != _EARN:
        conditions.append(f"kind <> '{_EARN}'")  # as it stands in the index
    if start:
        conditions += ["occurred_at >= :start", f"sequence > coalesce({_AFTER}, 0)"]
    if end:
        conditions += ["occurred_at < :end", f"sequence < coalesce({_BEFORE}, {_MOST})"]
    return text(
        "SELECT sequence, kind, delta, balance_after, reference, occurred_at, debt_delta, reason"  # noqa: S608
        f" FROM ledger_entries WHERE {' AND '.join(conditions)} ORDER BY sequence DESC LIMIT :limit"
    )


async def list_entries(
    connection: Connection, page: Page, *, member_id: UUID, kind: str | None, period: Period
) -> tuple[Sequence[EntryRow], str]:
    """A page of a member's movements of points, newest first; `kind` of None is every kind."""
    after = page.after(int)
    values = {
        "member_id": member_id,
        "after": _MOST if after is None else after,
        "limit": page.size + 1,
        **({"kind": kind} if kind else {}),
        **{name: moment for name, moment in vars(period).items() if moment},
    }
    statement = _entries(kind, start=period.start is not None, end=period.end is not None)
    result = await connection.execute(statement, values)
    return page.cut([EntryRow(*row) for row in result], lambda entry: entry.sequence)
