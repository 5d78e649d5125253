"""The statements that record purchases, many at a time.

They write the tables of several rooms in one go: a receipt with its purchase and lines, what it earned in the
ledger, and the account. Written one by one they would be six round trips for each batch, and an account would
be locked for that long. Names in braces stand for the constants above them.
"""

from __future__ import annotations

from psycopg.sql import SQL

from services.points.purchases.numbered import Numbered

# Receipts are claimed in the order of their keys, then accounts are locked in the order of theirs, so
# two batches never wait for each other. The batch that claimed a receipt credits it. Arrays
# travel in binary (%b), which costs the driver a sixth of text. An array that is shorter than the others ends
# in NULLs: so what hardly any receipt has is given as an empty array when none has it.

_ARRAYS = SQL("""
    %(purchase_ids)b::uuid[], %(client_ids)b::uuid[], %(till_numbers)b::text[],
    %(receipt_numbers)b::text[], %(fingerprints)b::bytea[], %(member_codes)b::text[],
    %(sold_ats)b::timestamptz[], %(currency_codes)b::text[], %(totals)b::bigint[],
    %(eligibles)b::bigint[], %(points)b::int[], %(rule_sets)b::bigint[], %(line_rules)b::text[],
    %(redemptions)b::text[], %(bonuses)b::int[]
""")
_COLUMNS = SQL("""
    purchase_id, client_id, till_number, receipt_number, fingerprint, member_code,
    sold_at, currency_code, total_minor, eligible_minor, points, rule_set_id, line_rules, redemptions, bonus
""")

_ITEM_ROWS = SQL("""
item_rows AS (
  INSERT INTO purchase_items
    (member_id, purchase_id, line, sku, name, category, unit_price_minor, quantity, alcohol, quantity_milli,
     total_minor)
  SELECT r.member_id, r.purchase_id, i.line, i.sku, i.name, i.category, i.price, i.quantity, i.alcohol,
    nullif(i.milli, 0), nullif(i.total, -1)
  FROM unnest(
    %(item_places)b::bigint[], %(item_lines)b::smallint[], %(item_skus)b::text[], %(item_names)b::text[],
    %(item_categories)b::text[], %(item_prices)b::bigint[], %(item_quantities)b::int[],
    %(item_alcohols)b::bool[], %(item_millis)b::int[], %(item_totals)b::bigint[]
  ) AS i (place, line, sku, name, category, price, quantity, alcohol, milli, total)
  JOIN recorded r USING (place)
)
""")

_CREDIT = SQL("""
      (excluded.balance - CASE WHEN a.first_bonus IS NULL THEN 0 ELSE coalesce(excluded.first_bonus, 0) END)
""")

# From the receipts that were claimed (member_id, purchase_id) to all that follows. A credit first pays the
# debt, then fills a balance below zero; only the rest becomes a lot. The first purchase that earns gets a
# bonus, and only the account's row knows which one is: it is offered with the first of the batch, and taken
# back by the account that had one.
_CREDITED = SQL("""
won AS (
  SELECT c.member_id, g.*,
    row_number() OVER so_far AS nth,
    sum(g.points) OVER so_far AS earned,
    count(*) FILTER (WHERE g.points > 0) OVER so_far AS entry
  FROM claimed c JOIN given g USING (purchase_id)
  WINDOW so_far AS (PARTITION BY c.member_id ORDER BY g.place ROWS UNBOUNDED PRECEDING)
), sums AS (
  SELECT member_id, max(nth) AS purchases, max(earned) AS earned, max(entry) AS entries,
    max(bonus) FILTER (WHERE entry = 1 AND points > 0) AS bonus
  FROM won GROUP BY member_id
), credited AS (
  INSERT INTO accounts AS a (member_id, balance, version, purchases, first_bonus)
  SELECT member_id, earned + coalesce(bonus, 0), entries, purchases, bonus FROM sums ORDER BY member_id
  ON CONFLICT (member_id) DO UPDATE SET
    balance = a.balance + {credit} - least(a.debt, {credit}),
    debt = a.debt - least(a.debt, {credit}),
    version = a.version + excluded.version,
    purchases = a.purchases + excluded.purchases,
    first_bonus = coalesce(a.first_bonus, excluded.first_bonus)
  RETURNING member_id, balance, debt, version, purchases, coalesce(old.balance, 0) AS old_balance,
    coalesce(old.debt, 0) AS old_debt, old.first_bonus IS NULL AS bonus_due
), gained AS (
  SELECT w.*, a.balance, a.debt, a.version, a.old_balance, a.old_debt,
    a.version - s.entries + w.entry AS sequence,
    a.purchases - s.purchases + w.nth AS number,
    CASE WHEN a.bonus_due AND w.entry = 1 AND w.points > 0 THEN s.bonus ELSE 0 END AS got_bonus,
    w.earned + CASE WHEN a.bonus_due AND w.entry > 0 THEN s.bonus ELSE 0 END AS got
  FROM won w JOIN sums s USING (member_id) JOIN credited a USING (member_id)
), recorded AS (
  SELECT *,
    old_balance + got - least(old_debt, got) AS balance_after,
    old_balance + got_before - least(old_debt, got_before) AS balance_before,
    least(old_debt, got) - least(old_debt, got_before) AS paid
  FROM (SELECT *, got - points - got_bonus AS got_before FROM gained) AS g
), purchase_rows AS (
  INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,
    currency_code, total_minor, eligible_minor, points, balance_after, client_id, rule_set_id, line_rules,
    redemption_ids, bonus, lot_id)
  SELECT member_id, purchase_id, number, receipt_number, till_number, sold_at, now(),
    currency_code, total_minor, eligible_minor, points + got_bonus, balance_after, client_id, rule_set_id,
    nullif(line_rules, '')::smallint[], nullif(redemptions, '')::uuid[], got_bonus,
    CASE WHEN greatest(balance_after, 0) > greatest(balance_before, 0) THEN sequence END
  FROM recorded
), {item_rows}, entry_rows AS (
  INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference, debt_delta)
  SELECT member_id, sequence, 'EARN', balance_after - balance_before, balance_after, purchase_id, -paid
  FROM recorded WHERE points > 0
), lot_rows AS (
  INSERT INTO lots (member_id, id, earned, remaining, expires_at)
  SELECT member_id, sequence, gain, gain, %(expires_at)s::timestamptz FROM (
    SELECT member_id, sequence, greatest(balance_after, 0) - greatest(balance_before, 0) AS gain
    FROM recorded WHERE points > 0
  ) AS r WHERE gain > 0
)
SELECT place, now() AS recorded_at, balance_after, got_bonus, member_id, version, balance, debt FROM recorded
""").format(credit=_CREDIT, item_rows=_ITEM_ROWS)

RECORD = Numbered(
    SQL("""
WITH given AS (
  SELECT * FROM unnest({arrays}) WITH ORDINALITY AS t ({columns}, place)
), claimed AS (
  INSERT INTO receipts (client_id, till_number, receipt_number, fingerprint, member_id, purchase_id)
  SELECT g.client_id, g.till_number, g.receipt_number, g.fingerprint, c.member_id, g.purchase_id
  FROM given g JOIN member_codes c USING (member_code)
  ORDER BY g.client_id, g.till_number, g.receipt_number
  ON CONFLICT DO NOTHING
  RETURNING purchase_id, member_id
), {credited}
""").format(arrays=_ARRAYS, columns=_COLUMNS, credited=_CREDITED)
)
"""Records purchases whose codes are kept."""

# With signed codes among them. Codes are claimed before receipts, in the order of their ids; of several
# receipts with one code, here or in other transactions, one gets it. Such a code is never kept, so the
# member may be out since identity was asked.
RECORD_SIGNED = Numbered(
    SQL("""
WITH given AS (
  SELECT * FROM unnest({arrays}, %(code_ids)b::text[], %(signed_members)b::uuid[])
  WITH ORDINALITY AS t ({columns}, code_id, signed_member, place)
), used AS (
  INSERT INTO used_codes (code_id, client_id, till_number, receipt_number, purchase_id)
  SELECT g.code_id, g.client_id, g.till_number, g.receipt_number, g.purchase_id
  FROM given g LEFT JOIN members m ON m.member_id = g.signed_member
  WHERE g.code_id IS NOT NULL AND coalesce(m.status, 'ACTIVE') = 'ACTIVE'
  ORDER BY g.code_id, g.place
  ON CONFLICT DO NOTHING
  RETURNING purchase_id
), claimed AS (
  INSERT INTO receipts (client_id, till_number, receipt_number, fingerprint, member_id, purchase_id)
  SELECT g.client_id, g.till_number, g.receipt_number, g.fingerprint,
    coalesce(g.signed_member, c.member_id), g.purchase_id
  FROM given g LEFT JOIN member_codes c USING (member_code) LEFT JOIN used u USING (purchase_id)
  WHERE CASE WHEN g.code_id IS NULL THEN c.member_id IS NOT NULL ELSE u.purchase_id IS NOT NULL END
  ORDER BY g.client_id, g.till_number, g.receipt_number
  ON CONFLICT DO NOTHING
  RETURNING purchase_id, member_id
), {credited}
""").format(arrays=_ARRAYS, columns=_COLUMNS, credited=_CREDITED)
)

# Without a member: the rows stand under the purchase's own id, and nothing is credited.
RECORD_UNCLAIMED = Numbered(
    SQL("""
WITH given AS (
  SELECT * FROM unnest(
    %(purchase_ids)b::uuid[], %(client_ids)b::uuid[], %(till_numbers)b::text[],
    %(receipt_numbers)b::text[], %(fingerprints)b::bytea[],
    %(sold_ats)b::timestamptz[], %(currency_codes)b::text[], %(totals)b::bigint[],
    %(eligibles)b::bigint[], %(points)b::int[], %(rule_sets)b::bigint[], %(line_rules)b::text[],
    %(redemptions)b::text[], %(claim_codes)b::text[], %(claim_untils)b::timestamptz[], %(suspended)b::bool[]
  ) WITH ORDINALITY AS t (
    purchase_id, client_id, till_number, receipt_number, fingerprint,
    sold_at, currency_code, total_minor, eligible_minor, points, rule_set_id, line_rules,
    redemptions, claim_code, claim_until, member_suspended, place
  )
), claimed AS (
  INSERT INTO receipts (client_id, till_number, receipt_number, fingerprint, member_id, purchase_id)
  SELECT client_id, till_number, receipt_number, fingerprint, purchase_id, purchase_id FROM given
  ORDER BY client_id, till_number, receipt_number
  ON CONFLICT DO NOTHING
  RETURNING purchase_id
), recorded AS (
  SELECT g.purchase_id AS member_id, g.* FROM given g JOIN claimed USING (purchase_id)
), purchase_rows AS (
  INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,
    currency_code, total_minor, eligible_minor, points, balance_after, client_id, rule_set_id, line_rules,
    redemption_ids)
  SELECT member_id, purchase_id, 1, receipt_number, till_number, sold_at, now(),
    currency_code, total_minor, eligible_minor, points, 0, client_id, rule_set_id,
    nullif(line_rules, '')::smallint[], nullif(redemptions, '')::uuid[]
  FROM recorded
), unclaimed_rows AS (
  INSERT INTO unclaimed_purchases (purchase_id, claim_code, claim_until, points, member_suspended)
  SELECT purchase_id, claim_code, claim_until, points, member_suspended FROM recorded
), {item_rows}
SELECT place, now() AS recorded_at FROM recorded
""").format(item_rows=_ITEM_ROWS)
)

# One that was recorded without a member gets the answer of then, also when it is refunded or claimed
# since.
FIND = Numbered("""
SELECT g.place, r.fingerprint, p.id, p.receipt_number, p.till_number, p.sold_at, p.recorded_at,
  p.currency_code, p.total_minor, p.eligible_minor, coalesce(u.points, p.points) AS points,
  p.balance_after, p.rule_set_id, p.line_rules, p.earn_rule,
  coalesce(p.redemption_ids, '{}') AS redemption_ids, p.bonus,
  u.claim_code, u.claim_until, u.member_suspended, a.member_id, a.version, a.balance, a.debt
FROM unnest(%(client_ids)b::uuid[], %(till_numbers)b::text[], %(receipt_numbers)b::text[])
  WITH ORDINALITY AS g (client_id, till_number, receipt_number, place)
JOIN receipts r USING (client_id, till_number, receipt_number)
JOIN purchases p ON p.member_id = r.member_id AND p.id = r.purchase_id
LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
LEFT JOIN accounts a ON a.member_id = r.member_id
""")
