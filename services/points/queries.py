"""All reads of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.common.paging import Page
from services.points.purchases import Balance, Purchase


@dataclass(frozen=True)
class EntryRow:
    """A movement of points."""

    sequence: int
    kind: str
    delta: int
    balance_after: int
    reference: str
    occurred_at: datetime


@dataclass(frozen=True)
class PurchaseRow:
    """A purchase, and the how manieth of its member it is."""

    number: int
    purchase: Purchase


async def get_balance(connection: Connection, member_id: UUID) -> Balance:
    """A member's balance; one who never earned has none."""
    result = await connection.execute(
        text("SELECT version, balance FROM accounts WHERE member_id = :member_id"), {"member_id": member_id}
    )
    row = result.first()
    return Balance(member_id, row.version, row.balance) if row else Balance(member_id, 0, 0)


async def list_entries(
    connection: Connection, page: Page, *, member_id: UUID, kind: str | None
) -> tuple[Sequence[EntryRow], str]:
    """A page of a member's movements of points, newest first; `kind` of None is every kind."""
    result = await connection.execute(
        text(
            "SELECT sequence, kind, delta, balance_after, reference, occurred_at FROM ledger_entries"
            " WHERE member_id = :member_id AND (CAST(:after AS bigint) IS NULL OR sequence < :after)"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind) ORDER BY sequence DESC LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(int), "kind": kind, "limit": page.size + 1},
    )
    return page.cut([EntryRow(*row) for row in result], lambda entry: entry.sequence)


async def list_purchases(
    connection: Connection, page: Page, *, member_id: UUID
) -> tuple[Sequence[PurchaseRow], str]:
    """A page of a member's purchases, the last recorded first."""
    result = await connection.execute(
        text(
            "SELECT number, id, receipt_number, till_number, sold_at, recorded_at, currency_code,"
            " total_minor, eligible_minor, points, earn_rule, balance_after FROM purchases"
            " WHERE member_id = :member_id AND (CAST(:after AS bigint) IS NULL OR number < :after)"
            " ORDER BY number DESC LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(int), "limit": page.size + 1},
    )
    rows = [PurchaseRow(number, Purchase(*columns)) for number, *columns in result]
    return page.cut(rows, lambda row: row.number)


async def unbalanced_members(connection: Connection) -> Sequence[UUID]:
    """Members whose books do not agree; there must be none, whatever happens.

    The balance is the sum of the ledger and what is left in the lots, and each entry tells the sum up to
    it; the version is the number of entries and the last one's sequence. Reads everything: for tests and
    for operators in doubt, not for serving.
    """
    result = await connection.execute(
        text(
            "WITH entries AS (SELECT member_id, sequence, delta, balance_after,"
            " sum(delta) OVER (PARTITION BY member_id ORDER BY sequence) AS running FROM ledger_entries),"
            " ledger AS (SELECT member_id, sum(delta) AS total, count(*) AS entries, max(sequence) AS last,"
            " bool_and(balance_after = running) AS told FROM entries GROUP BY member_id),"
            " open AS (SELECT member_id, sum(remaining) AS remaining FROM lots GROUP BY member_id),"
            " bought AS (SELECT member_id, count(*) AS purchases, max(number) AS last FROM purchases"
            " GROUP BY member_id)"
            " SELECT member_id FROM accounts a FULL JOIN ledger l USING (member_id)"
            " FULL JOIN open o USING (member_id) FULL JOIN bought b USING (member_id)"
            " WHERE (a.balance, a.balance, a.version, a.version, a.purchases, a.purchases, true)"
            " IS DISTINCT FROM (coalesce(l.total, 0), coalesce(o.remaining, 0), coalesce(l.entries, 0),"
            " coalesce(l.last, 0), coalesce(b.purchases, 0), coalesce(b.last, 0), coalesce(l.told, true))"
            " ORDER BY member_id LIMIT 100"
        )
    )
    return [row.member_id for row in result]
