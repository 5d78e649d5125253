"""Reads of purchases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_moment
from services.points.periods import Period
from services.points.programme import CLOCK_LEEWAY, MAX_AGE
from services.points.purchases.purchase import Purchase, ReceiptKey
from services.points.purchases.refusals import purchase_not_found

_ID_TIME_BITS = 48
_DRIFT = timedelta(minutes=1)
"""By how much a process's clock may be changed between making an id and judging the time of sale."""
_UNDER_WAY = timedelta(minutes=10)
"""How much later than its id is made a purchase may be recorded, at the utmost."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPurchase(Purchase):
    """A purchase in a list: whose it is, None for nobody's, and who recorded it."""

    member_id: UUID | None
    client_id: UUID


# By `recorded_at` they are in the order of their ids, which begin with the time at which the receipt came in:
# that needs no index of its own. `id_from` and `id_until` are bounds that follow from other filters.
PURCHASES = Listing(
    row=ListedPurchase,
    columns="""
    p.id, p.receipt_number, p.till_number, p.sold_at, p.recorded_at, p.currency_code, p.total_minor,
    p.eligible_minor, p.points, p.balance_after, p.rule_set_id, p.line_rules, p.earn_rule,
    coalesce(p.redemption_ids, '{}') AS redemption_ids, p.bonus, nullif(p.member_id, p.id) AS member_id,
    p.client_id
    """,
    source="purchases p",
    filters={
        "member_id": "p.member_id = %(member_id)s",
        "client_id": "p.client_id = %(client_id)s",
        "till_number": "p.till_number = %(till_number)s",
        "sold_from": "p.sold_at >= %(sold_from)s",
        "sold_until": "p.sold_at < %(sold_until)s",
        "recorded_from": "p.recorded_at >= %(recorded_from)s",
        "recorded_until": "p.recorded_at < %(recorded_until)s",
        "within_from": "CASE WHEN p.recorded_at >= %(within_from)s THEN true ELSE false END",
        "within_until": "CASE WHEN p.recorded_at < %(within_until)s THEN true ELSE false END",
        "id_from": "p.id >= %(id_from)s",
        "id_until": "p.id <= %(id_until)s",
        "sold_near_from": "p.sold_at >= %(sold_near_from)s",
        "sold_near_until": "p.sold_at <= %(sold_near_until)s",
        "unclaimed": "p.member_id = p.id",
    },
    keys={
        "sold_at": SortKey("p.sold_at", "sold_at", parse_moment),
        "recorded_at": SortKey("p.id", "id", UUID),
    },
    key=SortKey("p.id", "id", UUID),
    default_order="sold_at desc",
)
"""Purchases, by their time of sale or in the order in which they came in."""


def period_filters(order_by: str, *, sold: Period, recorded: Period) -> Mapping[str, Any]:
    """Returns what a list of purchases is filtered by for these periods.

    A sale is reported within 30 days and an id begins with the time of the report: so whatever the list is
    sorted by, it reads little more than the periods. Only bounds of what it is sorted by are added: others
    would have the planner believe that next to nothing is left. For the same reason the period as recorded
    stands in a CASE beside the bounds of the id, which say nearly the same: the planner takes that for a
    half, where it would multiply two comparisons, and read and sort the whole period for a page.
    """
    late = CLOCK_LEEWAY + _DRIFT
    periods = {"sold_from": sold.start, "sold_until": sold.end}
    if not order_by.startswith("recorded_at"):
        return periods | {
            "recorded_from": recorded.start,
            "recorded_until": recorded.end,
            "sold_near_from": _shifted(recorded.start, -MAX_AGE - _UNDER_WAY),
            "sold_near_until": _shifted(recorded.end, late),
        }
    return periods | {
        "within_from": recorded.start,
        "within_until": recorded.end,
        "id_from": _latest(_first_id(sold.start, -late), _first_id(recorded.start, -_UNDER_WAY)),
        "id_until": _earliest(_first_id(sold.end, MAX_AGE + _DRIFT), _first_id(recorded.end, _DRIFT)),
    }


def _first_id(moment: datetime | None, shift: timedelta) -> UUID | None:
    """Returns the smallest id (UUIDv7) that could be made at a moment, shifted."""
    if moment is None:
        return None
    milliseconds = int((moment.timestamp() + shift.total_seconds()) * 1_000)
    return UUID(int=min(max(milliseconds, 0), 2**_ID_TIME_BITS - 1) << (128 - _ID_TIME_BITS))


def _shifted(moment: datetime | None, shift: timedelta) -> datetime | None:
    """Returns a moment, shifted as far as the calendar goes."""
    if moment is None:
        return None
    try:
        return moment + shift
    except OverflowError:
        return moment


def _latest(*bounds: UUID | None) -> UUID | None:
    return max((bound for bound in bounds if bound), default=None)


def _earliest(*bounds: UUID | None) -> UUID | None:
    return min((bound for bound in bounds if bound), default=None)
