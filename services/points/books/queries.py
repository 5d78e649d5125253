"""Whether a member's books agree: the ledger, the balance, the lots, the debt, the purchases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_all

_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)

# One statement, so that it sees one moment. Members who are in one table alone are found too.
_DIFFERING = """
WITH entries AS (
  SELECT
    member_id, sequence, delta, debt_delta, balance_after,
    sum(delta) OVER (PARTITION BY member_id ORDER BY sequence) AS running
  FROM ledger_entries
  WHERE member_id > %(after)s AND member_id <= %(last)s
), ledger AS (
  SELECT
    member_id,
    sum(delta) AS total,
    sum(debt_delta) AS owed,
    count(*) AS entries,
    max(sequence) AS last,
    bool_and(balance_after = running) AS entries_agree
  FROM entries
  GROUP BY member_id
), left_over AS (
  SELECT member_id, sum(remaining) AS remaining
  FROM lots
  WHERE member_id > %(after)s AND member_id <= %(last)s
  GROUP BY member_id
), bought AS (
  SELECT
    p.member_id,
    count(*) AS purchases,
    max(number) AS last,
    min(number) = 1 AND count(DISTINCT number) = count(*) AS numbered
  FROM purchases p
  LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
  WHERE p.member_id > %(after)s AND p.member_id <= %(last)s
    AND (u.purchase_id IS NULL OR u.claimed_by IS NOT NULL)
  GROUP BY p.member_id
), account AS (
  SELECT * FROM accounts WHERE member_id > %(after)s AND member_id <= %(last)s
), books AS (
  SELECT
    member_id, a.balance, a.debt, a.version, a.purchases,
    coalesce(l.total, 0) AS ledger,
    coalesce(l.owed, 0) AS ledger_debt,
    coalesce(l.entries, 0) AS entries,
    coalesce(l.last, 0) AS last_entry,
    coalesce(l.entries_agree, true) AS entries_agree,
    coalesce(o.remaining, 0) AS lots,
    coalesce(b.purchases, 0) AS recorded,
    coalesce(b.last, 0) AS last_purchase,
    coalesce(b.numbered, true) AS numbered
  FROM account a
  FULL JOIN ledger l USING (member_id)
  FULL JOIN left_over o USING (member_id)
  FULL JOIN bought b USING (member_id)
)
SELECT * FROM books
WHERE (balance, greatest(balance, 0), debt, version, version, purchases, purchases)
  IS DISTINCT FROM (ledger, lots, ledger_debt, entries, last_entry, recorded, last_purchase)
  OR NOT entries_agree
  OR NOT numbered
ORDER BY member_id
"""


@dataclass(frozen=True, slots=True)
class MemberBooks:
    """A member's figures by each table; the first four are the account's, None when there is none."""

    member_id: UUID
    balance: int | None
    debt: int | None
    version: int | None
    purchases: int | None
    ledger: int
    ledger_debt: int
    entries: int
    last_entry: int
    entries_agree: bool
    """Whether each entry's balance is what the entries up to it add up to."""
    lots: int
    recorded: int
    last_purchase: int
    numbered: bool
    """Whether the purchases count from 1, each with a number of its own."""

    @property
    def differences(self) -> Sequence[str]:
        """What does not agree, in words."""
        if self.balance is None:
            return ["there is no account, only what belongs to one"]
        pairs = [
            ("balance", self.balance, "the ledger adds up to", self.ledger),
            ("positive balance", max(self.balance, 0), "in the lots are left", self.lots),
            ("debt", self.debt, "the ledger's debts add up to", self.ledger_debt),
            ("entries by the account", self.version, "entries in the ledger", self.entries),
            ("entries by the account", self.version, "number of the last entry", self.last_entry),
            ("purchases by the account", self.purchases, "purchases", self.recorded),
            ("purchases by the account", self.purchases, "number of the last purchase", self.last_purchase),
        ]
        found = [f"{name} {value}, {other} {that}" for name, value, other, that in pairs if value != that]
        if not self.entries_agree:
            found.append("an entry tells another balance than the entries up to it")
        if not self.numbered:
            found.append("purchases do not count from 1, each with a number of its own")
        return found


async def differing_books(
    connection: Connection, *, after: UUID = _FIRST, last: UUID = _LAST
) -> Sequence[MemberBooks]:
    """Returns the books that do not agree, of members after one and up to another.

    The balance is the sum of the ledger, and what is left in the lots is that or nothing; the debt is the
    sum of its changes in the ledger; each entry has the balance after it; the version is the number of
    entries and the last one's sequence. Purchases are numbered from 1, without gaps.
    """
    return await fetch_all(connection, MemberBooks, _DIFFERING, after=after, last=last)


async def unbalanced_members(connection: Connection) -> Sequence[UUID]:
    """Returns members whose books do not agree; there must be none, whatever happens.

    Reads everything: for tests and for operators in doubt, not for serving.
    """
    return [books.member_id for books in (await differing_books(connection))[:100]]
