"""What is asked of vouchers, each stated once: for filters, and for the indexes that serve them.

Of a list with 100,000 vouchers each filter alone and each order has an index, but for `quantity_left`: an
index on what every order changes would cost orders more than it saves the few who sort by it.
"""

from __future__ import annotations

from psycopg.sql import SQL

from services.common.lists import Part, SortKey, parse_bigint, parse_moment, parse_text

ON_SALE = SQL(
    """
    (vouchers.state = 'ACTIVE' AND vouchers.sale_starts_at <= now()
      AND now() < coalesce(vouchers.sale_ends_at, 'infinity'))
    """
)
"""Whether a voucher can be had now, for statements on `vouchers`."""

FEW_CODES_LEFT = SQL(
    "(vouchers.codes_wanted < least(vouchers.quantity, vouchers.issued + %(codes_ahead)s / 2))"
)
"""Whether more codes are to be made, for statements on `vouchers`: few are left that are not sold."""

POINTS_ALONE = SQL(
    """
    (vouchers.price_points > 0 AND vouchers.price_rule = 'EITHER')
    """
)
"""Whether a voucher can be had for points without money, for statements on `vouchers`."""

STATES: dict[str, Part] = {
    "DRAFT": "vouchers.state = 'DRAFT'",
    "SCHEDULED": "vouchers.state = 'ACTIVE' AND now() < vouchers.sale_starts_at",
    "ON_SALE": ON_SALE,
    "ENDED": "vouchers.state = 'ACTIVE' AND coalesce(vouchers.sale_ends_at, 'infinity') <= now()",
    "INACTIVE": "vouchers.state = 'INACTIVE'",
    "ARCHIVED": "vouchers.state = 'ARCHIVED'",
}
"""Whether a voucher is shown in a state."""

PRICE_KINDS: dict[str, Part] = {
    "POINTS": POINTS_ALONE,
    "MONEY": "vouchers.price_minor IS NOT NULL AND vouchers.price_rule = 'EITHER'",
    "TOGETHER": "vouchers.price_rule = 'TOGETHER'",
}
"""Whether a voucher can be paid for so."""

HAS_WORDS = "vouchers.words @@ %(words)s::tsquery"
FOUND = "vouchers.id = ANY(%(found)s::uuid[])"
"""Whether a voucher is found by a search, by its words or by its id: see `search.py`."""

CREATED_AT = SortKey("vouchers.created_at", "created_at", parse_moment)
TITLE = SortKey("vouchers.title", "title", parse_text)
PRICE_POINTS = SortKey("vouchers.price_points", "price_points", parse_bigint)
PRICE = SortKey("coalesce(vouchers.price_minor, 0)", "price_or_nothing", parse_bigint)
FACE_VALUE = SortKey("coalesce(vouchers.face_value_minor, 0)", "face_value_or_nothing", parse_bigint)
QUANTITY_LEFT = SortKey("(vouchers.quantity - vouchers.issued)", "quantity_left", parse_bigint)
SALE_STARTS_AT = SortKey("vouchers.sale_starts_at", "sale_starts_at", parse_moment)


def _parse_end(text: str) -> object:
    return text if text == "infinity" else parse_moment(text)


SALE_ENDS_AT = SortKey("coalesce(vouchers.sale_ends_at, 'infinity')", "sale_end", _parse_end)
