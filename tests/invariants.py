"""The invariants of Scrip, read from the databases. Every check names what it found wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

_LEDGER = """
SELECT a.member_id, a.balance, a.debt, a.version,
  coalesce(l.total, 0) AS ledger, coalesce(l.owed, 0) AS owed, coalesce(l.entries, 0) AS entries,
  coalesce(l.last, 0) AS last_sequence, coalesce(t.remaining, 0) AS remaining
FROM accounts a
FULL JOIN (
  SELECT member_id, sum(delta) AS total, sum(debt_delta) AS owed, count(*) AS entries, max(sequence) AS last
  FROM ledger_entries GROUP BY member_id
) l USING (member_id)
FULL JOIN (SELECT member_id, sum(remaining) AS remaining FROM lots GROUP BY member_id) t USING (member_id)
WHERE a.balance < {floor} OR (a.debt > 0 AND a.balance > 0)
  OR (a.balance, a.debt, a.version, a.version, greatest(a.balance, 0)) IS DISTINCT FROM
    (coalesce(l.total, 0), coalesce(l.owed, 0), coalesce(l.entries, 0), coalesce(l.last, 0),
    coalesce(t.remaining, 0))
"""
_RUNNING_BALANCE = """
SELECT * FROM (
  SELECT member_id, sequence, balance_after, sum(delta) OVER entries AS expected,
    sum(debt_delta) OVER entries AS debt
  FROM ledger_entries WINDOW entries AS (PARTITION BY member_id ORDER BY sequence)
) e WHERE balance_after <> expected OR debt < 0
"""
_LOTS = """
SELECT l.*, e.kind, e.delta, e.balance_after FROM lots l
LEFT JOIN ledger_entries e ON e.member_id = l.member_id AND e.sequence = l.id
WHERE e.kind IS NULL OR e.kind NOT IN ('EARN', 'ADJUST') OR l.remaining + l.expired > l.earned
  OR l.earned <> greatest(e.balance_after, 0) - greatest(e.balance_after - e.delta, 0)
"""
_EXPIRED = """
SELECT member_id, coalesce(l.expired, 0) AS in_lots, coalesce(e.expired, 0) AS in_ledger
FROM (SELECT member_id, sum(expired) AS expired FROM lots GROUP BY member_id) l
FULL JOIN (
  SELECT member_id, -sum(delta) AS expired FROM ledger_entries WHERE kind = 'EXPIRE' GROUP BY member_id
) e USING (member_id)
WHERE coalesce(l.expired, 0) <> coalesce(e.expired, 0)
"""
# What paid a debt was credited as well.
_MOVEMENTS = """
WITH due AS (
  SELECT p.member_id, 'EARN' AS kind, p.points::bigint AS points, p.id::text AS reference FROM purchases p
    LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
    WHERE p.points > 0 AND (u.purchase_id IS NULL OR u.claimed_by IS NOT NULL)
  UNION ALL SELECT member_id, 'SPEND', -points, order_id::text FROM debits WHERE points > 0
  UNION ALL SELECT member_id, 'SPEND_UNDONE', points, order_id::text FROM debits
    WHERE points > 0 AND state = 'UNDONE'
  UNION ALL SELECT member_id, 'REFUND', -taken - owed, purchase_id::text FROM refunds WHERE taken + owed > 0
  UNION ALL SELECT member_id::uuid, 'ADJUST', delta::bigint, import_id::text || ':' || line
    FROM adjustment_import_lines WHERE outcome = 'done'
), entries AS (
  SELECT member_id, kind, delta::bigint - debt_delta AS points, reference FROM ledger_entries
  WHERE kind NOT IN ('FORFEIT', 'EXPIRE') AND (kind <> 'ADJUST' OR reference LIKE '%:%')
)
(SELECT 'missing' AS fault, * FROM (TABLE due EXCEPT ALL TABLE entries) m)
UNION ALL (SELECT 'without cause', * FROM (TABLE entries EXCEPT ALL TABLE due) s)
"""
_ADJUSTED_TWICE = """
SELECT reference, count(*) FROM ledger_entries WHERE kind = 'ADJUST' GROUP BY reference HAVING count(*) > 1
"""
_IMPORTS = """
SELECT i.id, i.lines, i.done, i.refused, i.finished_at, count(*) AS kept,
  count(*) FILTER (WHERE l.outcome = 'done') AS were_done, count(l.outcome) AS settled
FROM adjustment_imports i LEFT JOIN adjustment_import_lines l ON l.import_id = i.id GROUP BY i.id
HAVING i.lines <> count(*) OR i.done <> count(*) FILTER (WHERE l.outcome = 'done')
  OR i.done + i.refused <> count(l.outcome) OR (i.finished_at IS NOT NULL) <> (i.done + i.refused = i.lines)
"""
_FORFEITS = """
SELECT a.member_id, a.closed, a.balance, e.sequence, e.balance_after
FROM accounts a LEFT JOIN ledger_entries e ON e.member_id = a.member_id AND e.kind = 'FORFEIT'
WHERE (e.sequence IS NOT NULL AND (NOT a.closed OR e.balance_after <> 0))
  OR (a.closed AND (a.balance <> 0 OR a.debt <> 0))
"""
_RECEIPTS = """
SELECT r.receipt_number, r.purchase_id, p.id
FROM receipts r FULL JOIN purchases p ON p.id = r.purchase_id AND p.member_id = r.member_id
WHERE r.purchase_id IS NULL OR p.id IS NULL
"""
_UNCLAIMED = """
SELECT u.purchase_id, u.claimed_by, p.member_id
FROM unclaimed_purchases u LEFT JOIN purchases p ON p.id = u.purchase_id
LEFT JOIN accounts a ON a.member_id = u.purchase_id
WHERE p.member_id IS DISTINCT FROM coalesce(u.claimed_by, u.purchase_id) OR a.member_id IS NOT NULL
UNION ALL SELECT p.id, NULL, p.member_id FROM purchases p WHERE p.member_id = p.id
  AND NOT EXISTS (SELECT FROM unclaimed_purchases u WHERE u.purchase_id = p.id)
"""
_ITEMS = """
SELECT * FROM (
  SELECT member_id, purchase_id, sum(coalesce(total_minor, unit_price_minor * quantity)) AS cost
  FROM purchase_items GROUP BY 1, 2
) i FULL JOIN purchases p ON p.member_id = i.member_id AND p.id = i.purchase_id
WHERE i.cost IS DISTINCT FROM p.total_minor
"""
# The refunds of a purchase are what came back of its lines; they never take more than it earned, and all of
# it once nothing is left.
_REFUNDS = """
WITH lines AS (
  SELECT member_id, purchase_id, sum(sold - refunded) AS left_over, sum(refunded) AS goods,
    sum(div(coalesce(total_minor, unit_price_minor * quantity)::numeric * refunded, sold)) AS amount
  FROM (SELECT *, coalesce(quantity_milli, quantity) AS sold FROM purchase_items) AS i
  GROUP BY member_id, purchase_id
), refunded AS (
  SELECT member_id, purchase_id, sum(points) AS points, sum(expired) AS expired, sum(amount_minor) AS amount,
    sum((
      SELECT sum(coalesce(line ->> 2, line ->> 1)::int) FROM jsonb_array_elements(lines) AS line
    )) AS goods
  FROM refunds GROUP BY member_id, purchase_id
)
SELECT p.member_id, p.id, p.points AS earned, r.points, r.amount, l.amount AS cost, r.goods, l.left_over
FROM purchases p JOIN lines l ON l.member_id = p.member_id AND l.purchase_id = p.id
FULL JOIN refunded r ON r.member_id = p.member_id AND r.purchase_id = p.id
LEFT JOIN lots t ON t.member_id = p.member_id AND t.id = p.lot_id
WHERE p.id IS NULL OR coalesce(r.amount, 0) <> l.amount OR coalesce(r.goods, 0) <> l.goods
  OR coalesce(r.points, 0) > p.points OR (l.left_over = 0 AND coalesce(r.points, 0) <> p.points)
  OR coalesce(r.expired, 0) > coalesce(t.expired, 0)
"""
_DEBIT_LOTS = """
SELECT d.order_id, d.points, l.points AS from_lots FROM debits d
FULL JOIN (SELECT member_id, order_id, sum(points) AS points FROM debit_lots GROUP BY 1, 2) l
  ON l.order_id = d.order_id AND l.member_id = d.member_id
WHERE coalesce(d.points, -1) <> coalesce(l.points, 0) OR (d.points > 0 AND d.balance_after IS NULL)
"""
_SIGNED_CODES = """
SELECT u.* FROM used_codes u LEFT JOIN receipts r USING (client_id, till_number, receipt_number, purchase_id)
WHERE r.purchase_id IS NULL
"""
_HALF_DONE = "SELECT caller, rpc, key FROM idempotency_keys WHERE reply = ''"
_LEDGER_CHECKS = (_RUNNING_BALANCE, _LOTS, _EXPIRED)
_MOVEMENT_CHECKS = (
    _MOVEMENTS,
    _ADJUSTED_TWICE,
    _IMPORTS,
    _FORFEITS,
    _RECEIPTS,
    _UNCLAIMED,
    _ITEMS,
    _REFUNDS,
    _DEBIT_LOTS,
    _SIGNED_CODES,
    _HALF_DONE,
)
_STOCK = """
WITH ordered AS (
  SELECT voucher_id,
    sum(quantity) FILTER (WHERE state NOT IN ('FAILED', 'CANCELLED', 'REFUNDED')) AS pieces,
    sum(quantity) FILTER (WHERE state IN ('COMPLETED', 'REFUNDING', 'REFUNDED')) AS owned,
    count(*) FILTER (WHERE state IN ('PENDING', 'AWAITING_PAYMENT', 'UNDOING', 'REFUNDING')) AS open
  FROM orders GROUP BY voucher_id
)
SELECT v.id, v.quantity, v.issued, o.pieces, o.owned, o.open, w.rows
FROM vouchers v
LEFT JOIN ordered o ON o.voucher_id = v.id
LEFT JOIN (SELECT voucher_id, count(*) AS rows FROM wallet_vouchers GROUP BY voucher_id) w
  ON w.voucher_id = v.id
WHERE v.issued > v.quantity OR v.issued <> coalesce(o.pieces, 0)
  OR coalesce(w.rows, 0) <> coalesce(o.owned, 0)
"""
_CODES_AHEAD = "SELECT id, codes_wanted FROM vouchers WHERE state <> 'DRAFT' AND codes_wanted < issued"
_LIMITS = """
SELECT m.voucher_id, m.member_id, m.ordered, sum(o.quantity) AS pieces
FROM voucher_members m LEFT JOIN orders o ON o.voucher_id = m.voucher_id AND o.member_id = m.member_id
  AND o.state NOT IN ('FAILED', 'CANCELLED', 'REFUNDED')
GROUP BY m.voucher_id, m.member_id HAVING m.ordered <> coalesce(sum(o.quantity), 0)
"""
_PAYMENTS = """
SELECT o.id, o.state, o.amount_minor, o.currency_code, p.amount_minor AS paid, p.currency_code AS paid_in,
  p.state AS payment
FROM orders o LEFT JOIN payments p ON p.id = o.id
WHERE CASE
  WHEN o.state = 'COMPLETED' AND o.amount_minor > 0
    THEN (p.state, p.amount_minor, p.currency_code)
      IS DISTINCT FROM ('CAPTURED', o.amount_minor, o.currency_code)
  WHEN o.state IN ('FAILED', 'CANCELLED', 'REFUNDED')
    THEN coalesce(p.state, 'VOIDED') NOT IN ('VOIDED', 'REFUNDED', 'DECLINED')
  ELSE o.amount_minor = 0 AND p.id IS NOT NULL
END
"""
# What the sandbox has, which stands for a system outside.
_MONEY = """
SELECT o.id, o.state, o.amount_minor, o.currency_code, s.state AS at_provider, s.amount_minor AS charged
FROM orders o JOIN payments p ON p.id = o.id AND p.provider = 'SANDBOX'
LEFT JOIN sandbox_payments s ON s.id = o.id
WHERE CASE
  WHEN o.state = 'COMPLETED'
    THEN (s.state, s.amount_minor, s.currency_code)
      IS DISTINCT FROM ('CAPTURED', o.amount_minor, o.currency_code)
  WHEN o.state IN ('FAILED', 'CANCELLED', 'REFUNDED') THEN s.state NOT IN ('VOIDED', 'REFUNDED', 'DECLINED')
END
"""
_MONEY_OF_NOBODY = """
SELECT s.id, s.state FROM sandbox_payments s LEFT JOIN orders o ON o.id = s.id
WHERE s.state IN ('AUTHORISED', 'CAPTURED') AND o.id IS NULL
"""
_REDEEMED = """
SELECT r.order_id, r.state, c.code_id, c.discount_minor, c.cancelled_at, c.cancelled_by
FROM redeemed_orders r LEFT JOIN redemptions c ON c.id = r.redemption_id
"""
_GIFTS = """
SELECT g.id, g.state, w.id AS wallet_voucher_id, w.gift_id FROM gifts g
FULL JOIN wallet_vouchers w ON w.gift_id = g.id
WHERE g.state IN ('OFFERING', 'ACCEPTING', 'RETURNING')
  OR coalesce(g.state = 'OFFERED', false) <> (w.gift_id IS NOT NULL)
"""
_RECIPIENTS = """
WITH given AS (
  SELECT voucher_id, recipient_hash, count(*) AS pieces FROM gifts WHERE recipient_hash IS NOT NULL
  GROUP BY voucher_id, recipient_hash
)
SELECT * FROM given g LEFT JOIN voucher_recipients r USING (voucher_id, recipient_hash)
WHERE r.given IS NULL OR r.given < g.pieces
"""
_CODES = """
SELECT id, state, uses, uses_allowed FROM codes c
WHERE uses > uses_allowed OR (state IN ('READY', 'BEARER') AND owner_member_id IS NOT NULL)
  OR uses <> (SELECT count(*) FROM redemptions r WHERE r.code_id = c.id AND r.cancelled_at IS NULL)
"""
_MEMBER_USES = """
SELECT * FROM (SELECT code_set_id, member_id, uses FROM member_uses WHERE uses > 0) u
FULL JOIN (
  SELECT code_set_id, member_id, count(*) AS standing FROM redemptions
  WHERE counted AND cancelled_at IS NULL GROUP BY code_set_id, member_id
) r USING (code_set_id, member_id)
WHERE u.uses IS DISTINCT FROM r.standing
"""
_RANKS = """
SELECT c.id, c.places, c.places_taken, count(w.rank) AS winners, min(w.rank) AS first, max(w.rank) AS last,
  count(DISTINCT w.member_id) AS members
FROM campaigns c LEFT JOIN winners w ON w.campaign_id = c.id GROUP BY c.id
HAVING c.places_taken <> count(w.rank) OR count(w.rank) > c.places
  OR (count(w.rank) > 0 AND (min(w.rank) <> 1 OR max(w.rank) <> count(w.rank)))
  OR count(DISTINCT w.member_id) <> count(w.rank)
"""
_PROMOS = """
SELECT p.id FROM promos p LEFT JOIN (
  SELECT t.promo_id, sum(t.amount) AS amount
  FROM promo_use_parts t JOIN promo_uses u ON u.id = t.promo_use_id WHERE u.cancelled_at IS NULL
  GROUP BY t.promo_id
) AS standing ON standing.promo_id = p.id
WHERE p.used <> coalesce(standing.amount, 0) OR p.used NOT BETWEEN 0 AND p.amount
"""
_USES = """
SELECT u.id FROM promo_uses u WHERE NOT EXISTS (SELECT FROM promo_use_parts t WHERE t.promo_use_id = u.id)
  OR EXISTS (
    SELECT FROM promo_use_parts t JOIN promos p ON p.id = t.promo_id
    WHERE t.promo_use_id = u.id AND p.member_id <> u.member_id
  )
"""
_CLAIMS = """
SELECT d.id, d.quantity, d.claimed, count(m.id) AS claims, count(c.id) AS codes
FROM discounts d LEFT JOIN claims m ON m.discount_id = d.id
LEFT JOIN codes c ON c.id = m.code_id AND c.code_set_id = d.id AND c.owner_member_id = m.member_id
  AND c.state IN ('ASSIGNED', 'VOID')
GROUP BY d.id
HAVING d.claimed > d.quantity OR d.claimed <> count(m.id) OR count(m.id) <> count(c.id)
"""
_UNCLAIMED_CODES = """
SELECT c.id FROM codes c JOIN discounts d ON d.id = c.code_set_id
WHERE c.state = 'ASSIGNED' AND NOT EXISTS (SELECT FROM claims m WHERE m.code_id = c.id)
"""
_JOBS = "SELECT id, task_name, status, attempts, args FROM procrastinate_jobs WHERE status <> 'succeeded'"
_CODE_SETS = """
SELECT s.id, s.wanted, s.voided, s.made, count(c.id) AS codes
FROM code_sets s LEFT JOIN codes c ON c.code_set_id = s.id GROUP BY s.id
HAVING s.made <> s.wanted + s.voided OR (s.wanted > 0 AND count(c.id) <> s.made)
"""
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "REFUNDED")
_WITH_JOBS = ("identity", "points", "vouchers", "promos")


def rows(url: str, query: str) -> list[dict[str, Any]]:
    """Returns what a query finds."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def _assert_none(url: str, *queries: str) -> None:
    """Asserts that none of these finds anything, over one connection."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        for query in queries:
            assert connection.execute(query.encode()).fetchall() == []


def check(databases: Mapping[str, str], *, foreign_debits: bool = False) -> None:
    """Asserts INV1 to INV5, INV8 and INV9 on the databases of a platform at rest.

    `foreign_debits` allows debits for orders that vouchers does not have, and other movements for which
    there is no cause, which points' own tests make.
    """
    check_ledger(databases["points"])
    if not foreign_debits:
        check_movements(databases["points"])
    check_stock(databases["vouchers"])
    check_codes(databases["promos"])
    check_orders(databases, foreign_debits=foreign_debits)
    check_gifts(databases)
    check_campaigns(databases["promos"])
    check_promo_points(databases["promos"])
    check_claims(databases["promos"])


def check_ledger(points: str, *, floor: int = 0) -> None:
    """INV1: the ledger, the balances, the debts and the lots agree, entry by entry; none is below the floor.

    The floor is that of the programme's policy: 0 unless refunds may take a balance below it.
    """
    _assert_none(points, _LEDGER.format(floor=floor), *_LEDGER_CHECKS)


def check_movements(points: str) -> None:
    """INV3: each receipt, refund, claim, adjustment, debit and undoing moved points once, and nothing else
    did but members leaving and time; a refund took what its lines had earned."""
    _assert_none(points, *_MOVEMENT_CHECKS)


def check_stock(vouchers: str) -> None:
    """INV2: no more is issued than there is, what is issued is ordered or owned and has its codes asked for,
    and limits count it.
    """
    _assert_none(vouchers, _STOCK, _CODES_AHEAD, _LIMITS)


def check_codes(promos: str) -> None:
    """INV4: no code is used more often than it allows, and its uses are its redemptions that stand; nor do
    members use codes of a set more often than it allows each of them."""
    _assert_none(promos, _CODES, _MEMBER_USES)


def check_orders(databases: Mapping[str, str], *, foreign_debits: bool = False) -> None:
    """INV5: every order is completed with its debit, its payment and its codes, or fully undone."""
    for query in (_PAYMENTS, _MONEY):
        assert rows(databases["vouchers"], query) == []
    if not foreign_debits:
        assert rows(databases["vouchers"], _MONEY_OF_NOBODY) == []
    check_promo_codes(databases, foreign_debits=foreign_debits)
    orders = rows(
        databases["vouchers"],
        "SELECT o.id, o.member_id, state, price_points,"
        " ARRAY(SELECT code_id FROM wallet_vouchers w WHERE w.order_id = o.id ORDER BY code_id) AS code_ids"
        " FROM orders o",
    )
    debits = {
        row["order_id"]: row
        for row in rows(databases["points"], "SELECT order_id, member_id, points, state FROM debits")
    }
    codes: dict[Any, list[dict[str, Any]]] = {}
    owned = """
        SELECT id, order_id, owner_member_id, state, void_reason FROM codes WHERE order_id IS NOT NULL
    """
    for code in rows(databases["promos"], owned):
        codes.setdefault(code["order_id"], []).append(code)
    found = rows(databases["vouchers"], "SELECT code_id, member_id FROM wallet_vouchers")
    wallets = {row["code_id"]: row["member_id"] for row in found}
    for order in orders:
        debit, given = debits.get(order["id"]), codes.get(order["id"], [])
        assert order["state"] in _ENDED, f"still open: {order}"
        assigned = [code for code in given if code["state"] == "ASSIGNED"]
        if order["state"] == "COMPLETED":
            if order["price_points"]:
                assert debit is not None, f"completed but never paid: {order}"
                assert debit["state"] == "DEBITED", f"completed but not paid: {order}"
                assert debit["points"] == order["price_points"], f"paid another price: {order} {debit}"
                assert debit["member_id"] == order["member_id"], f"paid by another: {order} {debit}"
            owners = [wallets[c["id"]] for c in given if c["id"] in wallets]
            assert [c["owner_member_id"] for c in given] == owners, f"owned by another: {order} {given}"
            good = sorted(c["id"] for c in given if c in assigned or c["void_reason"] == "STAFF")
            assert good == order["code_ids"], f"other codes: {order} {given}"
        else:
            assert debit is None or debit["state"] == "UNDONE", f"failed but paid: {order} {debit}"
            assert assigned == [], f"failed but has a usable code: {order} {given}"
    unknown = {key for key, row in debits.items() if row["state"] == "DEBITED"} - {o["id"] for o in orders}
    assert foreign_debits or unknown == set(), f"debits without an order: {unknown}"


def check_promo_codes(databases: Mapping[str, str], *, foreign_debits: bool = False) -> None:
    """Promo codes are redeemed for the orders that are completed, and given back by all others."""
    orders = rows(
        databases["vouchers"],
        "SELECT id, state, promo_code_id, promo_discount_minor FROM orders WHERE promo_code_id IS NOT NULL",
    )
    uses = {row["order_id"]: row for row in rows(databases["promos"], _REDEEMED)}
    for order in orders:
        use = uses.pop(order["id"], None)
        if order["state"] == "COMPLETED":
            assert use is not None, f"completed without its promo code: {order}"
            assert use["state"] == "REDEEMED", f"completed, and its promo code was given back: {order} {use}"
            assert use["code_id"] == order["promo_code_id"], f"another promo code: {order} {use}"
            assert use["discount_minor"] == order["promo_discount_minor"], f"another discount: {order} {use}"
        elif use is not None:
            assert use["state"] == "GIVEN_BACK", f"failed, and its promo code is used: {order} {use}"
            given_back = use["code_id"] is None or use["cancelled_at"] is not None
            assert given_back, f"a promo code was not given back: {order} {use}"
    unknown = {order_id for order_id, use in uses.items() if use["state"] == "REDEEMED"}
    assert foreign_debits or unknown == set(), f"promo codes without an order: {unknown}"


def check_gifts(databases: Mapping[str, str]) -> None:
    """What is on offer is on hold, and nothing else; each gift counts for its recipient until then."""
    check_offers(databases["vouchers"])
    offered = "SELECT code_id, id FROM gifts WHERE state = 'OFFERED'"
    held = "SELECT id AS code_id, gift_id AS id FROM codes WHERE gift_id IS NOT NULL"
    on_offer, on_hold = rows(databases["vouchers"], offered), rows(databases["promos"], held)
    assert sorted(map(str, on_offer)) == sorted(map(str, on_hold))


def check_offers(vouchers: str) -> None:
    """No gift is on its way, what is on offer is nobody's to use, and each gift counts for its recipient."""
    _assert_none(vouchers, _GIFTS, _RECIPIENTS)


def check_campaigns(promos: str) -> None:
    """INV8: winners are ranked 1 to N without gaps, and never more than the places."""
    _assert_none(promos, _RANKS)


def check_promo_points(promos: str) -> None:
    """What is used of each promo is the sum of its standing uses, which are of its member's promos."""
    _assert_none(promos, _PROMOS, _USES)


def check_claims(promos: str) -> None:
    """INV9: a discount gives no more codes than it has, each to the member who claimed it."""
    _assert_none(promos, _CLAIMS, _UNCLAIMED_CODES)


def check_jobs(databases: Mapping[str, str]) -> None:
    """INV6: no job waits, runs or failed, nothing is set aside, and every set has as many codes as wanted."""
    for service in _WITH_JOBS:
        assert rows(databases[service], _JOBS) == [], service
        assert rows(databases[service], "SELECT kind, id, error FROM set_aside") == [], service
    assert rows(databases["promos"], _CODE_SETS) == []
