"""Recording purchases, many in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.common.db import Connection
from services.common.errors import DomainError
from services.points.purchases import (
    Balance,
    NewPurchase,
    Purchase,
    ReceiptKey,
    Recorded,
    member_code_replayed,
    member_code_unknown,
    receipt_conflict,
)

# Receipts are claimed in the order of their keys, then accounts are locked in the order of theirs, so
# two batches never wait for each other. Whoever claimed a receipt is the one who credits it. Arrays
# travel in binary (%b), which costs the driver a sixth of text.
_TEMPLATE = """
WITH given AS (
  SELECT * FROM unnest(
    %(purchase_ids)b::uuid[], %(client_ids)b::uuid[], %(till_numbers)b::text[],
    %(receipt_numbers)b::text[], %(fingerprints)b::bytea[], %(member_codes)b::text[],
    %(sold_ats)b::timestamptz[], %(currency_codes)b::text[], %(totals)b::bigint[],
    %(eligibles)b::bigint[], %(points)b::int[], %(earn_rules)b::text[]<arrays>
  ) WITH ORDINALITY AS t (
    purchase_id, client_id, till_number, receipt_number, fingerprint, member_code,
    sold_at, currency_code, total_minor, eligible_minor, points, earn_rule<columns>, place
  )
)<used>, claimed AS (
  INSERT INTO receipts (client_id, till_number, receipt_number, fingerprint, member_id, purchase_id)
  SELECT g.client_id, g.till_number, g.receipt_number, g.fingerprint, <member>, g.purchase_id
  FROM given g <found>
  ORDER BY g.client_id, g.till_number, g.receipt_number
  ON CONFLICT DO NOTHING
  RETURNING purchase_id, member_id
), won AS (
  SELECT c.member_id, g.*,
    row_number() OVER so_far AS nth,
    sum(g.points) OVER so_far AS earned,
    count(*) FILTER (WHERE g.points > 0) OVER so_far AS entry
  FROM claimed c JOIN given g USING (purchase_id)
  WINDOW so_far AS (PARTITION BY c.member_id ORDER BY g.place ROWS UNBOUNDED PRECEDING)
), sums AS (
  SELECT member_id, max(nth) AS purchases, max(earned) AS earned, max(entry) AS entries
  FROM won GROUP BY member_id
), credited AS (
  INSERT INTO accounts AS a (member_id, balance, version, purchases)
  SELECT member_id, earned, entries, purchases FROM sums ORDER BY member_id
  ON CONFLICT (member_id) DO UPDATE SET
    balance = a.balance + excluded.balance,
    version = a.version + excluded.version,
    purchases = a.purchases + excluded.purchases
  RETURNING member_id, balance, version, purchases
), recorded AS (
  SELECT w.*,
    a.balance, a.version,
    a.balance - s.earned + w.earned AS balance_after,
    a.version - s.entries + w.entry AS sequence,
    a.purchases - s.purchases + w.nth AS number
  FROM won w JOIN sums s USING (member_id) JOIN credited a USING (member_id)
), purchase_rows AS (
  INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,
    currency_code, total_minor, eligible_minor, points, earn_rule, balance_after)
  SELECT member_id, purchase_id, number, receipt_number, till_number, sold_at, now(),
    currency_code, total_minor, eligible_minor, points, earn_rule, balance_after
  FROM recorded
), item_rows AS (
  INSERT INTO purchase_items
    (member_id, purchase_id, line, sku, name, category, unit_price_minor, quantity, alcohol)
  SELECT r.member_id, r.purchase_id, i.line, i.sku, i.name, i.category, i.price, i.quantity, i.alcohol
  FROM unnest(
    %(item_places)b::bigint[], %(item_lines)b::smallint[], %(item_skus)b::text[], %(item_names)b::text[],
    %(item_categories)b::text[], %(item_prices)b::bigint[], %(item_quantities)b::int[],
    %(item_alcohols)b::bool[]
  ) AS i (place, line, sku, name, category, price, quantity, alcohol) JOIN recorded r USING (place)
), entry_rows AS (
  INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)
  SELECT member_id, sequence, 'EARN', points, balance_after, purchase_id FROM recorded WHERE points > 0
), lot_rows AS (
  INSERT INTO lots (member_id, id, earned, remaining)
  SELECT member_id, sequence, points, points FROM recorded WHERE points > 0
)
SELECT place, now() AS recorded_at, balance_after, member_id, version, balance FROM recorded
"""


def _filled(**parts: str) -> str:
    statement = _TEMPLATE
    for name, sql in parts.items():
        statement = statement.replace(f"<{name}>", sql)
    return statement


_RECORD = _filled(
    arrays="", columns="", used="", member="c.member_id", found="JOIN member_codes c USING (member_code)"
)

# With signed codes among them. Codes are claimed before receipts, in the order of their ids; of several
# receipts with one code, here or in other transactions, one gets it. Such a code is never kept, so the
# member may be out since identity was asked.
_RECORD_SIGNED = _filled(
    arrays=", %(code_ids)b::text[], %(signed_members)b::uuid[]",
    columns=", code_id, signed_member",
    used=""", used AS (
  INSERT INTO used_codes (code_id, client_id, till_number, receipt_number, purchase_id)
  SELECT g.code_id, g.client_id, g.till_number, g.receipt_number, g.purchase_id
  FROM given g LEFT JOIN members m ON m.member_id = g.signed_member
  WHERE g.code_id IS NOT NULL AND coalesce(m.status, 'ACTIVE') = 'ACTIVE' ORDER BY g.code_id, g.place
  ON CONFLICT DO NOTHING
  RETURNING purchase_id
)""",
    member="coalesce(g.signed_member, c.member_id)",
    found="""LEFT JOIN member_codes c USING (member_code) LEFT JOIN used u USING (purchase_id)
  WHERE CASE WHEN g.code_id IS NULL THEN c.member_id IS NOT NULL ELSE u.purchase_id IS NOT NULL END""",
)

_GIVE_BACK = """
DELETE FROM used_codes WHERE code_id = ANY(%(code_ids)b::text[])
  AND purchase_id = ANY(%(purchase_ids)b::uuid[])
"""

_USED = "SELECT code_id FROM used_codes WHERE code_id = ANY(%(code_ids)b::text[])"

_FIND = """
SELECT g.place, r.fingerprint, p.id, p.receipt_number, p.till_number, p.sold_at, p.recorded_at,
  p.currency_code, p.total_minor, p.eligible_minor, p.points, p.earn_rule, p.balance_after,
  a.member_id, a.version, a.balance
FROM unnest(%(client_ids)b::uuid[], %(till_numbers)b::text[], %(receipt_numbers)b::text[])
  WITH ORDINALITY AS g (client_id, till_number, receipt_number, place)
JOIN receipts r USING (client_id, till_number, receipt_number)
JOIN purchases p ON p.member_id = r.member_id AND p.id = r.purchase_id
JOIN accounts a ON a.member_id = r.member_id
"""

# In the order of an item's place, line and fields.
_ITEM_COLUMNS = (
    "item_places",
    "item_lines",
    "item_skus",
    "item_names",
    "item_categories",
    "item_prices",
    "item_quantities",
    "item_alcohols",
)

Answer = Recorded | DomainError
Waiting = Mapping[int, NewPurchase]
"""Purchases by their place in the list."""


async def record_purchases(connection: Connection, purchases: Sequence[NewPurchase]) -> list[Answer]:
    """Records each receipt once and answers each on its own; a repetition gets the first answer.

    Members are found by the codes kept in `member_codes`, or by `signed_code`, which is bound to the
    receipt. Answers RECEIPT_CONFLICT, the receipt's own `refusal`, MEMBER_CODE_REPLAYED, or
    MEMBER_CODE_UNKNOWN when a code is neither kept nor signed. Raises BALANCE_LIMIT_REACHED (by
    constraint) for the whole list; who hands over several runs them again in halves.
    """
    answers: dict[int, Answer] = {}
    waiting: Waiting = dict(enumerate(purchases))
    while waiting:
        leaders = _leaders(waiting)
        answers |= await _record(
            connection, {place: waiting[place] for place in leaders.values() if not waiting[place].refusal}
        )
        rest = {place: new for place, new in waiting.items() if place not in answers}
        answers |= await _find(connection, rest)
        used = await _used(connection, [new for place, new in rest.items() if place not in answers])
        waiting = _judge(answers, leaders, rest, used)
    return [answers[place] for place in range(len(purchases))]


def _leaders(waiting: Waiting) -> dict[ReceiptKey, int]:
    """The first place of each key: one statement can not insert a key twice."""
    leaders: dict[ReceiptKey, int] = {}
    for place, new in waiting.items():
        leaders.setdefault(new.key, place)
    return leaders


def _judge(
    answers: dict[int, Answer], leaders: Mapping[ReceiptKey, int], rest: Waiting, used: frozenset[str]
) -> Waiting:
    """Answers what was not recorded, and returns what must be tried on its own.

    That is a receipt whose key came first with other content, which was refused. `used` are the signed
    codes that other receipts have.
    """
    again: dict[int, NewPurchase] = {}
    for place, new in rest.items():
        leader = leaders[new.key]
        if place in answers:
            continue
        if place == leader:
            replayed = new.signed_code is not None and new.signed_code.id in used
            answers[place] = new.refusal or (member_code_replayed() if replayed else member_code_unknown())
        elif new.fingerprint == rest[leader].fingerprint:
            answers[place] = answers[leader]
        else:
            again[place] = new
    return again


async def _record(connection: Connection, purchases: Waiting) -> dict[int, Answer]:
    """Writes those whose code is kept, or signed and unused, and whose receipt is new; answers them."""
    if not purchases:
        return {}
    places, news = list(purchases), list(purchases.values())
    items = [
        (place, line, *item) for place, new in enumerate(news, 1) for line, item in enumerate(new.items, 1)
    ]
    signed = any(new.signed_code for new in news)
    result = await connection.exec_driver_sql(
        _RECORD_SIGNED if signed else _RECORD,
        {
            **_keys(news),
            "purchase_ids": [new.id for new in news],
            "fingerprints": [new.fingerprint for new in news],
            "member_codes": [new.member_code for new in news],
            "sold_ats": [new.sold_at for new in news],
            "currency_codes": [new.currency_code for new in news],
            "totals": [new.total_minor for new in news],
            "eligibles": [new.eligible_minor for new in news],
            "points": [new.points for new in news],
            "earn_rules": [new.earn_rule for new in news],
            **dict(zip(_ITEM_COLUMNS, map(list, zip(*items, strict=True)), strict=True)),
            **(_signed_codes(news) if signed else {}),
        },
    )
    answers: dict[int, Answer] = {}
    for row in result:
        new = news[row.place - 1]
        purchase = Purchase(
            new.id,
            new.key.receipt_number,
            new.key.till_number,
            new.sold_at,
            row.recorded_at,
            new.currency_code,
            new.total_minor,
            new.eligible_minor,
            new.points,
            new.earn_rule,
            row.balance_after,
        )
        answers[places[row.place - 1]] = Recorded(purchase, Balance(row.member_id, row.version, row.balance))
    if signed:
        await _give_back(connection, [new for place, new in purchases.items() if place not in answers])
    return answers


def _signed_codes(news: Sequence[NewPurchase]) -> dict[str, Any]:
    codes = [new.signed_code for new in news]
    return {
        "code_ids": [code.id if code else None for code in codes],
        "signed_members": [code.member_id if code else None for code in codes],
    }


async def _give_back(connection: Connection, lost: Sequence[NewPurchase]) -> None:
    """Frees the codes that were claimed for receipts which somebody else recorded in the same moment."""
    codes = [new.signed_code.id for new in lost if new.signed_code]
    if codes:
        ids = [new.id for new in lost]
        await connection.exec_driver_sql(_GIVE_BACK, {"code_ids": codes, "purchase_ids": ids})


async def _used(connection: Connection, refused: Sequence[NewPurchase]) -> frozenset[str]:
    codes = [new.signed_code.id for new in refused if new.signed_code and not new.refusal]
    if not codes:
        return frozenset()
    result = await connection.exec_driver_sql(_USED, {"code_ids": codes})
    return frozenset(row.code_id for row in result)


async def _find(connection: Connection, purchases: Waiting) -> dict[int, Answer]:
    """Answers those whose receipt was recorded before, or a moment ago by somebody else."""
    if not purchases:
        return {}
    places, news = list(purchases), list(purchases.values())
    result = await connection.exec_driver_sql(_FIND, _keys(news))
    answers: dict[int, Answer] = {}
    for row in result:
        purchase = Purchase(
            row.id,
            row.receipt_number,
            row.till_number,
            row.sold_at,
            row.recorded_at,
            row.currency_code,
            row.total_minor,
            row.eligible_minor,
            row.points,
            row.earn_rule,
            row.balance_after,
        )
        same = bytes(row.fingerprint) == news[row.place - 1].fingerprint
        recorded = Recorded(purchase, Balance(row.member_id, row.version, row.balance))
        answers[places[row.place - 1]] = recorded if same else receipt_conflict(purchase)
    return answers


def _keys(news: Sequence[NewPurchase]) -> dict[str, Any]:
    return {
        "client_ids": [new.key.client_id for new in news],
        "till_numbers": [new.key.till_number for new in news],
        "receipt_numbers": [new.key.receipt_number for new in news],
    }
