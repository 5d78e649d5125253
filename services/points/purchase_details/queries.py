"""Reads of purchases with all that belongs to them. One statement each, for a claim moves the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_value
from services.points.purchases import Purchase, ReceiptKey, SoldLine, purchase_not_found
from services.points.refunds import Refund, Returned


@dataclass(frozen=True)
class PurchaseDetails:
    """A purchase with its lines and its refunds, the oldest first.

    `member_id` is None until it is claimed; `claim_until` is set while it can be.
    """

    purchase: Purchase
    member_id: UUID | None
    client_id: UUID
    lines: Sequence[SoldLine]
    refunds: Sequence[Refund]
    claim_until: datetime | None


@dataclass(frozen=True, slots=True)
class _Row:
    owner: UUID
    client_id: UUID
    rule_set_id: int
    claim_until: datetime | None
    lines: Sequence[Mapping[str, Any]]
    refunds: Sequence[Mapping[str, Any]]
    id: UUID
    receipt_number: str
    till_number: str
    sold_at: datetime
    recorded_at: datetime
    currency_code: str
    total_minor: int
    eligible_minor: int
    points: int
    balance_after: int
    line_rules: Sequence[int] | None
    earn_rule: str | None
    redemption_ids: Sequence[UUID]
    bonus: int


_COLUMNS = SQL("""
  p.member_id AS owner, p.client_id, p.rule_set_id,
  CASE WHEN u.claimed_by IS NULL AND u.claim_until >= now() THEN u.claim_until END AS claim_until,
  ARRAY(
    SELECT to_jsonb(i) FROM purchase_items i
    WHERE i.member_id = p.member_id AND i.purchase_id = p.id
    ORDER BY i.line
  ) AS lines,
  ARRAY(
    SELECT to_jsonb(r) - 'fingerprint' FROM refunds r
    WHERE r.member_id = p.member_id AND r.purchase_id = p.id
    ORDER BY r.refunded_at, r.refund_number
  ) AS refunds,
  p.id, p.receipt_number, p.till_number, p.sold_at, p.recorded_at, p.currency_code, p.total_minor,
  p.eligible_minor, p.points, p.balance_after, p.line_rules, p.earn_rule,
  coalesce(p.redemption_ids, '{}') AS redemption_ids, p.bonus
""")

_BY_ID = SQL("""
SELECT {columns}
FROM purchases p
LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
WHERE p.id = %(purchase_id)s AND (%(client_id)s::uuid IS NULL OR p.client_id = %(client_id)s)
""").format(columns=_COLUMNS)

_OF_MEMBER = SQL("""
SELECT {columns}
FROM purchases p
LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
WHERE p.id = %(purchase_id)s AND p.member_id = %(member_id)s
""").format(columns=_COLUMNS)

_BY_RECEIPT = SQL("""
SELECT {columns}
FROM receipts k
JOIN purchases p ON p.member_id = k.member_id AND p.id = k.purchase_id
LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
WHERE k.client_id = %(client_id)s AND k.till_number = %(till_number)s
  AND k.receipt_number = %(receipt_number)s
""").format(columns=_COLUMNS)


async def get_purchase(
    connection: Connection, purchase_id: UUID, *, client_id: UUID | None
) -> PurchaseDetails:
    """Returns a purchase, of this client's if one is given. Raises PURCHASE_NOT_FOUND."""
    return _details(await fetch_first(connection, _Row, _BY_ID, purchase_id=purchase_id, client_id=client_id))


async def get_purchase_of(connection: Connection, member_id: UUID, purchase_id: UUID) -> PurchaseDetails:
    """Returns a member's purchase. Raises PURCHASE_NOT_FOUND."""
    return _details(
        await fetch_first(connection, _Row, _OF_MEMBER, purchase_id=purchase_id, member_id=member_id)
    )


async def find_purchase(connection: Connection, key: ReceiptKey) -> PurchaseDetails:
    """Returns the purchase that a receipt became. Raises PURCHASE_NOT_FOUND."""
    return _details(await fetch_first(connection, _Row, _BY_RECEIPT, **key._asdict()))


def _details(row: _Row | None) -> PurchaseDetails:
    if row is None:
        raise purchase_not_found()
    purchase = Purchase(
        id=row.id,
        receipt_number=row.receipt_number,
        till_number=row.till_number,
        sold_at=row.sold_at,
        recorded_at=row.recorded_at,
        currency_code=row.currency_code,
        total_minor=row.total_minor,
        eligible_minor=row.eligible_minor,
        points=row.points,
        balance_after=row.balance_after,
        rule_set_id=row.rule_set_id,
        line_rules=row.line_rules,
        earn_rule=row.earn_rule,
        redemption_ids=row.redemption_ids,
        bonus=row.bonus,
    )
    return PurchaseDetails(
        purchase=purchase,
        member_id=None if row.owner == row.id else row.owner,
        client_id=row.client_id,
        lines=[SoldLine.of(line) for line in row.lines],
        refunds=[_refund(refund) for refund in row.refunds],
        claim_until=row.claim_until,
    )


def _refund(kept: Mapping[str, Any]) -> Refund:
    return Refund(
        number=kept["refund_number"],
        refunded_at=datetime.fromisoformat(kept["refunded_at"]),
        recorded_at=datetime.fromisoformat(kept["recorded_at"] or kept["refunded_at"]),
        voids=kept["voids"],
        lines=[Returned(*line) for line in kept["lines"]],
        amount_minor=kept["amount_minor"],
        points=kept["points"],
        taken=kept["taken"],
        owed=kept["owed"],
        expired=kept["expired"],
        waived=kept["waived"],
        reason=kept["reason"],
    )


async def has_purchases(connection: Connection, member_id: UUID, *, besides: ReceiptKey | None) -> bool:
    """Returns whether a member has bought anything, `besides` one receipt.

    Purchases that were voided do not count; those of which goods came back do.
    """
    key = besides or ReceiptKey(UUID(int=0), "", "")
    found: bool = await fetch_value(
        connection,
        """
        SELECT EXISTS (
          SELECT FROM purchases p
          WHERE p.member_id = %(member_id)s
            AND (p.client_id, p.till_number, p.receipt_number)
              <> (%(client_id)s, %(till_number)s, %(receipt_number)s)
            AND NOT EXISTS (
              SELECT FROM refunds r
              WHERE r.member_id = p.member_id AND r.purchase_id = p.id AND r.voids
            )
        )
        """,
        member_id=member_id,
        **key._asdict(),
    )
    return found
