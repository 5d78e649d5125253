"""Reads of purchases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text

from services.common.legacy_db import Connection
from services.common.paging import Page
from services.points.periods import Period
from services.points.programme import MAX_AGE
from services.points.purchases.purchase import CLOCK_LEEWAY, Item, Purchase, ReceiptKey, purchase_not_found
from services.points.refunds.refund import Line, Refund, Returned

_LAST_ID = UUID(int=2**128 - 1)
_ID_TIME_BITS = 48
_DRIFT = timedelta(minutes=1)
"""By how much a process's clock may be changed between making an id and judging the time of sale."""


@dataclass(frozen=True)
class PurchaseDetails:
    """A purchase with its lines, its refunds, the oldest first, and by which rules it was judged.

    `member_id` is None until it is claimed; `claim_until` is set while it can be.
    """

    purchase: Purchase
    member_id: UUID | None
    client_id: UUID
    rule_set_id: int
    lines: Sequence[Line]
    refunds: Sequence[Refund]
    claim_until: datetime | None


@dataclass(frozen=True)
class PurchaseHead:
    """A purchase and by which rules it was judged, which never changes.

    One that was recorded without a member may be `claimed_by` one since, at a till `claimed_with` a member
    code of which this is the fingerprint.
    """

    id: UUID
    rule_set_id: int
    sold_at: datetime
    claimed_by: UUID | None
    claimed_with: bytes | None


# One statement, for a claim moves the rows.
_DETAILS = (
    "SELECT p.member_id, p.client_id, p.rule_set_id,"
    " CASE WHEN u.claimed_by IS NULL AND u.claim_until >= now() THEN u.claim_until END AS claim_until,"
    " (SELECT jsonb_agg(jsonb_build_array(line, quantity - refunded, sku, name, category, unit_price_minor,"
    " quantity, alcohol) ORDER BY line) FROM purchase_items i"
    " WHERE i.member_id = p.member_id AND i.purchase_id = p.id) AS items,"
    " (SELECT jsonb_agg(jsonb_build_array(refund_number, refunded_at, lines, amount_minor, points, taken,"
    " owed, expired, waived, reason) ORDER BY refunded_at, refund_number) FROM refunds r"
    " WHERE r.member_id = p.member_id AND r.purchase_id = p.id) AS refunds,"
    " p.id, p.receipt_number, p.till_number, p.sold_at, p.recorded_at, p.currency_code, p.total_minor,"
    " p.eligible_minor, p.points, p.earn_rule, p.balance_after, p.bonus"
    " FROM <found> LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id"
)

_BY_ID = text(
    _DETAILS.replace("<found>", "purchases p")
    + " WHERE p.id = :purchase_id AND (CAST(:client_id AS uuid) IS NULL OR p.client_id = :client_id)"
)
_OF_MEMBER = text(
    _DETAILS.replace("<found>", "purchases p") + " WHERE p.id = :purchase_id AND p.member_id = :member_id"
)
_BY_RECEIPT = text(
    _DETAILS.replace(
        "<found>", "receipts k JOIN purchases p ON p.member_id = k.member_id AND p.id = k.purchase_id"
    )
    + " WHERE k.client_id = :client_id AND k.till_number = :till_number"
    " AND k.receipt_number = :receipt_number"
)


async def get_purchase(
    connection: Connection, purchase_id: UUID, *, client_id: UUID | None
) -> PurchaseDetails:
    """A purchase, of this client's if one is given. Raises PURCHASE_NOT_FOUND."""
    return await _details(connection, _BY_ID, purchase_id=purchase_id, client_id=client_id)


async def get_purchase_of(connection: Connection, member_id: UUID, purchase_id: UUID) -> PurchaseDetails:
    """A member's purchase. Raises PURCHASE_NOT_FOUND."""
    return await _details(connection, _OF_MEMBER, purchase_id=purchase_id, member_id=member_id)


async def find_purchase(connection: Connection, key: ReceiptKey) -> PurchaseDetails:
    """The purchase that a receipt became. Raises PURCHASE_NOT_FOUND."""
    return await _details(connection, _BY_RECEIPT, **key._asdict())


async def _details(connection: Connection, query: TextClause, **values: object) -> PurchaseDetails:
    row = (await connection.execute(query, values)).first()
    if row is None:
        raise purchase_not_found()
    member_id, client_id, rule_set_id, claim_until, items, refunds, *columns = row
    purchase = Purchase(*columns)
    return PurchaseDetails(
        purchase,
        None if member_id == purchase.id else member_id,
        client_id,
        rule_set_id,
        [Line(line, Item(*item), left) for line, left, *item in items],
        [
            Refund(number, datetime.fromisoformat(at), [Returned(*line) for line in lines], *figures)
            for number, at, lines, *figures in refunds or ()
        ],
        claim_until,
    )


_HEAD = "SELECT p.id, p.rule_set_id, p.sold_at, u.claimed_by, u.claimed_with FROM purchases p "


async def get_purchase_head(
    connection: Connection, purchase_id: UUID, *, client_id: UUID | None
) -> PurchaseHead:
    """What judged a purchase, of this client's if one is given. Raises PURCHASE_NOT_FOUND."""
    return await _head(
        connection,
        "LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id"
        " WHERE p.id = :purchase_id AND (CAST(:client_id AS uuid) IS NULL OR p.client_id = :client_id)",
        purchase_id=purchase_id,
        client_id=client_id,
    )


async def find_purchase_head(connection: Connection, key: ReceiptKey) -> PurchaseHead:
    """What judged the purchase that a receipt became. Raises PURCHASE_NOT_FOUND."""
    return await _head(
        connection,
        "JOIN receipts k ON p.member_id = k.member_id AND p.id = k.purchase_id"
        " LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id WHERE k.client_id = :client_id"
        " AND k.till_number = :till_number AND k.receipt_number = :receipt_number",
        **key._asdict(),
    )


async def claimable_purchase_head(connection: Connection, claim_code: str) -> PurchaseHead:
    """What judged the purchase with a claim code. Raises PURCHASE_NOT_FOUND."""
    return await _head(
        connection,
        "JOIN unclaimed_purchases u ON u.purchase_id = p.id WHERE u.claim_code = :claim_code",
        claim_code=claim_code,
    )


async def _head(connection: Connection, found: str, **values: object) -> PurchaseHead:
    row = (await connection.execute(text(_HEAD + found), values)).first()
    if row is None:
        raise purchase_not_found()
    return PurchaseHead(*row)


_PURCHASES = text(
    "SELECT id, receipt_number, till_number, sold_at, recorded_at, currency_code, total_minor,"
    " eligible_minor, points, earn_rule, balance_after, bonus FROM purchases"
    " WHERE member_id = :member_id AND id < :after AND id >= :oldest AND id <= :newest"
    " AND sold_at >= coalesce(CAST(:start AS timestamptz), '-infinity')"
    " AND sold_at < coalesce(CAST(:end AS timestamptz), 'infinity') ORDER BY id DESC LIMIT :limit"
)


async def list_purchases(
    connection: Connection, page: Page, *, member_id: UUID, period: Period
) -> tuple[Sequence[Purchase], str]:
    """A page of a member's purchases, the last recorded first; `period` is of the times of sale.

    Ids begin with the time at which the receipt came in, and a sale is reported within 30 days: so only
    those are looked at that can lie within the period.
    """
    result = await connection.execute(
        _PURCHASES,
        {
            "member_id": member_id,
            "after": page.after(UUID) or _LAST_ID,
            "oldest": _first_id(period.start, -CLOCK_LEEWAY - _DRIFT, otherwise=UUID(int=0)),
            "newest": _first_id(period.end, MAX_AGE + _DRIFT, otherwise=_LAST_ID),
            "start": period.start,
            "end": period.end,
            "limit": page.size + 1,
        },
    )
    return page.cut([Purchase(*row) for row in result], lambda purchase: purchase.id)


def _first_id(moment: datetime | None, shift: timedelta, *, otherwise: UUID) -> UUID:
    """The smallest id (UUIDv7) that could be made at a moment, shifted."""
    if moment is None:
        return otherwise
    milliseconds = int((moment.timestamp() + shift.total_seconds()) * 1_000)
    return UUID(int=min(max(milliseconds, 0), 2**_ID_TIME_BITS - 1) << (128 - _ID_TIME_BITS))
