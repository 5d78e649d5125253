"""Reads of purchases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first
from services.common.paging import Page
from services.points.periods import Period
from services.points.programme import CLOCK_LEEWAY, MAX_AGE
from services.points.purchases.purchase import Purchase, ReceiptKey
from services.points.purchases.refusals import purchase_not_found

_LAST_ID = UUID(int=2**128 - 1)
_ID_TIME_BITS = 48
_DRIFT = timedelta(minutes=1)
"""By how much a process's clock may be changed between making an id and judging the time of sale."""


@dataclass(frozen=True, slots=True)
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


async def get_purchase_head(
    connection: Connection, purchase_id: UUID, *, client_id: UUID | None
) -> PurchaseHead:
    """Returns what judged a purchase, of this client's if one is given. Raises PURCHASE_NOT_FOUND."""
    head = await fetch_first(
        connection,
        PurchaseHead,
        """
        SELECT p.id, p.rule_set_id, p.sold_at, u.claimed_by, u.claimed_with
        FROM purchases p
        LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
        WHERE p.id = %(purchase_id)s AND (%(client_id)s::uuid IS NULL OR p.client_id = %(client_id)s)
        """,
        purchase_id=purchase_id,
        client_id=client_id,
    )
    return _found(head)


async def find_purchase_head(connection: Connection, key: ReceiptKey) -> PurchaseHead:
    """Returns what judged the purchase that a receipt became. Raises PURCHASE_NOT_FOUND."""
    head = await fetch_first(
        connection,
        PurchaseHead,
        """
        SELECT p.id, p.rule_set_id, p.sold_at, u.claimed_by, u.claimed_with
        FROM receipts k
        JOIN purchases p ON p.member_id = k.member_id AND p.id = k.purchase_id
        LEFT JOIN unclaimed_purchases u ON u.purchase_id = p.id
        WHERE k.client_id = %(client_id)s AND k.till_number = %(till_number)s
          AND k.receipt_number = %(receipt_number)s
        """,
        **key._asdict(),
    )
    return _found(head)


async def find_claimable_head(connection: Connection, claim_code: str) -> PurchaseHead:
    """Returns what judged the purchase with a claim code. Raises PURCHASE_NOT_FOUND."""
    head = await fetch_first(
        connection,
        PurchaseHead,
        """
        SELECT p.id, p.rule_set_id, p.sold_at, u.claimed_by, u.claimed_with
        FROM unclaimed_purchases u
        JOIN purchases p ON p.id = u.purchase_id
        WHERE u.claim_code = %(claim_code)s
        """,
        claim_code=claim_code,
    )
    return _found(head)


def _found(head: PurchaseHead | None) -> PurchaseHead:
    if head is None:
        raise purchase_not_found()
    return head


async def list_purchases(
    connection: Connection, page: Page, *, member_id: UUID, period: Period
) -> tuple[Sequence[Purchase], str]:
    """Returns a page of a member's purchases, the last recorded first; `period` is of the times of sale.

    Ids begin with the time at which the receipt came in, and a sale is reported within 30 days: so only
    those are looked at that can lie within the period.
    """
    purchases = await fetch_all(
        connection,
        Purchase,
        """
        SELECT id, receipt_number, till_number, sold_at, recorded_at, currency_code, total_minor,
          eligible_minor, points, balance_after, rule_set_id, line_rules, earn_rule,
          coalesce(redemption_ids, '{}') AS redemption_ids, bonus
        FROM purchases
        WHERE member_id = %(member_id)s
          AND id < %(after)s AND id >= %(oldest)s AND id <= %(newest)s
          AND sold_at >= coalesce(%(start)s::timestamptz, '-infinity')
          AND sold_at < coalesce(%(end)s::timestamptz, 'infinity')
        ORDER BY id DESC
        LIMIT %(limit)s
        """,
        member_id=member_id,
        after=page.after(UUID) or _LAST_ID,
        oldest=_first_id(period.start, -CLOCK_LEEWAY - _DRIFT, otherwise=UUID(int=0)),
        newest=_first_id(period.end, MAX_AGE + _DRIFT, otherwise=_LAST_ID),
        start=period.start,
        end=period.end,
        limit=page.size + 1,
    )
    return page.cut(purchases, lambda purchase: purchase.id)


def _first_id(moment: datetime | None, shift: timedelta, *, otherwise: UUID) -> UUID:
    """Returns the smallest id (UUIDv7) that could be made at a moment, shifted."""
    if moment is None:
        return otherwise
    milliseconds = int((moment.timestamp() + shift.total_seconds()) * 1_000)
    return UUID(int=min(max(milliseconds, 0), 2**_ID_TIME_BITS - 1) << (128 - _ID_TIME_BITS))
