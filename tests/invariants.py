"""The invariants of Scrip, read from the databases. Every check names what it found wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

_LEDGER = """
SELECT a.member_id, a.balance, a.version,
  coalesce(l.total, 0) AS ledger, coalesce(l.entries, 0) AS entries, coalesce(l.last, 0) AS last_sequence,
  coalesce(t.remaining, 0) AS remaining
FROM accounts a
LEFT JOIN (
  SELECT member_id, sum(delta) AS total, count(*) AS entries, max(sequence) AS last
  FROM ledger_entries GROUP BY member_id
) l USING (member_id)
LEFT JOIN (SELECT member_id, sum(remaining) AS remaining FROM lots GROUP BY member_id) t USING (member_id)
WHERE a.balance < 0 OR a.balance <> coalesce(l.total, 0) OR a.version <> coalesce(l.entries, 0)
  OR a.version <> coalesce(l.last, 0) OR greatest(a.balance, 0) <> coalesce(t.remaining, 0)
"""
_RUNNING_BALANCE = """
SELECT * FROM (
  SELECT member_id, sequence, balance_after,
    sum(delta) OVER (PARTITION BY member_id ORDER BY sequence) AS expected
  FROM ledger_entries
) e WHERE balance_after <> expected
"""
_MOVEMENTS = """
WITH due AS (
  SELECT member_id, 'EARN' AS kind, points AS delta, id::text AS reference FROM purchases WHERE points > 0
  UNION ALL SELECT member_id, 'SPEND', -points, order_id::text FROM debits WHERE points > 0
  UNION ALL SELECT member_id, 'SPEND_UNDONE', points, order_id::text FROM debits
    WHERE points > 0 AND state = 'UNDONE'
), entries AS (SELECT member_id, kind, delta, reference FROM ledger_entries WHERE kind <> 'FORFEIT')
(SELECT 'missing' AS fault, * FROM (TABLE due EXCEPT ALL TABLE entries) m)
UNION ALL (SELECT 'without cause', * FROM (TABLE entries EXCEPT ALL TABLE due) s)
"""
_FORFEITS = """
SELECT a.member_id, a.closed, a.balance, e.sequence, e.balance_after
FROM accounts a LEFT JOIN ledger_entries e ON e.member_id = a.member_id AND e.kind = 'FORFEIT'
WHERE (e.sequence IS NOT NULL AND (NOT a.closed OR e.balance_after <> 0)) OR (a.closed AND a.balance <> 0)
"""
_RECEIPTS = """
SELECT r.receipt_number, r.purchase_id, p.id
FROM receipts r FULL JOIN purchases p ON p.id = r.purchase_id AND p.member_id = r.member_id
WHERE r.purchase_id IS NULL OR p.id IS NULL
"""
_STOCK = """
SELECT v.id, v.quantity, v.issued, count(o.id) FILTER (WHERE o.state <> 'FAILED') AS orders,
  count(w.id) AS rows, count(o.id) FILTER (WHERE o.state IN ('PENDING', 'UNDOING')) AS open
FROM vouchers v LEFT JOIN orders o ON o.voucher_id = v.id LEFT JOIN wallet_vouchers w ON w.order_id = o.id
GROUP BY v.id
HAVING v.issued > v.quantity OR v.issued <> count(o.id) FILTER (WHERE o.state <> 'FAILED')
  OR count(w.id) <> count(o.id) FILTER (WHERE o.state = 'COMPLETED')
"""
_CODES = """
SELECT id, state, uses, uses_allowed FROM codes c
WHERE uses > uses_allowed OR (state = 'READY' AND owner_member_id IS NOT NULL)
  OR uses <> (SELECT count(*) FROM redemptions r WHERE r.code_id = c.id AND r.cancelled_at IS NULL)
"""
_RANKS = """
SELECT c.id, c.places, c.places_taken, count(w.rank) AS winners, min(w.rank) AS first, max(w.rank) AS last,
  count(DISTINCT w.member_id) AS members
FROM campaigns c LEFT JOIN winners w ON w.campaign_id = c.id GROUP BY c.id
HAVING c.places_taken <> count(w.rank) OR count(w.rank) > c.places
  OR (count(w.rank) > 0 AND (min(w.rank) <> 1 OR max(w.rank) <> count(w.rank)))
  OR count(DISTINCT w.member_id) <> count(w.rank)
"""
_JOBS = "SELECT id, task_name, status, attempts, args FROM procrastinate_jobs WHERE status <> 'succeeded'"
_CODE_SETS = """
SELECT s.id, s.wanted, s.voided, s.made, count(c.id) AS codes
FROM code_sets s LEFT JOIN codes c ON c.code_set_id = s.id GROUP BY s.id
HAVING s.made <> s.wanted + s.voided OR (s.wanted > 0 AND count(c.id) <> s.made)
"""
_WITH_JOBS = ("identity", "vouchers", "promos")


def rows(url: str, query: str) -> list[dict[str, Any]]:
    """What a query finds."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def check(databases: Mapping[str, str], *, foreign_debits: bool = False) -> None:
    """Asserts INV1 to INV5 and INV8 on the databases of a platform at rest.

    `foreign_debits` allows debits for orders that vouchers never heard of, which points' own tests make.
    """
    check_ledger(databases["points"])
    check_movements(databases["points"])
    check_stock(databases["vouchers"])
    check_codes(databases["promos"])
    check_orders(databases, foreign_debits=foreign_debits)
    check_campaigns(databases["promos"])


def check_ledger(points: str) -> None:
    """INV1: the ledger, the balances and the lots agree, entry by entry."""
    assert rows(points, _LEDGER) == []
    assert rows(points, _RUNNING_BALANCE) == []


def check_movements(points: str) -> None:
    """INV3: each receipt, debit and undoing moved points once, and nothing else did but members leaving."""
    assert rows(points, _MOVEMENTS) == []
    assert rows(points, _FORFEITS) == []
    assert rows(points, _RECEIPTS) == []


def check_stock(vouchers: str) -> None:
    """INV2: no more is issued than there is, and what is issued is owned."""
    assert rows(vouchers, _STOCK) == []


def check_codes(promos: str) -> None:
    """INV4: no code is used more often than it allows, and its uses are its redemptions."""
    assert rows(promos, _CODES) == []


def check_orders(databases: Mapping[str, str], *, foreign_debits: bool = False) -> None:
    """INV5: every order is completed with its debit and its code, or fully undone."""
    orders = rows(
        databases["vouchers"],
        "SELECT o.id, o.member_id, state, price_points, code_id"
        " FROM orders o LEFT JOIN wallet_vouchers w ON w.order_id = o.id",
    )
    debits = {
        row["order_id"]: row
        for row in rows(databases["points"], "SELECT order_id, member_id, points, state FROM debits")
    }
    codes: dict[Any, list[dict[str, Any]]] = {}
    owned = "SELECT id, order_id, owner_member_id, state FROM codes WHERE order_id IS NOT NULL"
    for code in rows(databases["promos"], owned):
        codes.setdefault(code["order_id"], []).append(code)
    for order in orders:
        debit, given = debits.get(order["id"]), codes.get(order["id"], [])
        assert order["state"] in ("COMPLETED", "FAILED"), f"still open: {order}"
        assigned = [code for code in given if code["state"] == "ASSIGNED"]
        if order["state"] == "COMPLETED":
            assert debit is not None, f"completed but never paid: {order}"
            assert debit["state"] == "DEBITED", f"completed but not paid: {order}"
            assert debit["points"] == order["price_points"], f"paid another price: {order} {debit}"
            assert debit["member_id"] == order["member_id"], f"paid by another: {order} {debit}"
            assert [c["owner_member_id"] for c in assigned] == [order["member_id"]], f"{order} {given}"
            assert [c["id"] for c in assigned] == [order["code_id"]], f"another code: {order} {given}"
        else:
            assert debit is None or debit["state"] == "UNDONE", f"failed but paid: {order} {debit}"
            assert assigned == [], f"failed but has a usable code: {order} {given}"
    unknown = {key for key, row in debits.items() if row["state"] == "DEBITED"} - {o["id"] for o in orders}
    assert foreign_debits or unknown == set(), f"debits without an order: {unknown}"


def check_campaigns(promos: str) -> None:
    """INV8: winners are ranked 1 to N without gaps, and never more than the places."""
    assert rows(promos, _RANKS) == []


def check_jobs(databases: Mapping[str, str]) -> None:
    """INV6: no job waits, runs or failed, and every set has as many codes as are wanted."""
    for service in _WITH_JOBS:
        assert rows(databases[service], _JOBS) == [], service
    assert rows(databases["promos"], _CODE_SETS) == []
