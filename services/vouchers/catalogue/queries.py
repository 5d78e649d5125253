"""Reads of vouchers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey
from services.vouchers.catalogue import conditions
from services.vouchers.catalogue.conditions import FOUND, HAS_WORDS, ON_SALE, PRICE_KINDS, STATES
from services.vouchers.catalogue.refusals import voucher_not_found

PriceRule = Literal["EITHER", "TOGETHER"]
BuyType = Literal["SELF", "GIFT"]
VoucherState = Literal["DRAFT", "SCHEDULED", "ON_SALE", "ENDED", "INACTIVE", "ARCHIVED"]

VOUCHERS = SQL(
    """
    (
      SELECT
        id, title, face_value_minor, currency_code, benefit, codes_expire_at, valid_days, cancel_days,
        images -> 0 ->> 'id' AS image_id
      FROM vouchers
    )
    """
)
"""What a voucher is, for statements that join it."""

COLUMNS = SQL(
    """
    id, title, description, face_value_minor, currency_code, price_points, quantity,
    quantity - issued AS quantity_left, sale_starts_at, sale_ends_at, codes_expire_at, created_at,
    CASE
      WHEN state <> 'ACTIVE' THEN state
      WHEN now() < sale_starts_at THEN 'SCHEDULED'
      WHEN sale_ends_at <= now() THEN 'ENDED'
      ELSE 'ON_SALE'
    END AS state,
    price_minor, price_rule, benefit, max_per_member, buy_type, max_gifts_per_recipient, valid_days,
    cancel_days, version, images, codes_wanted, codes_made
    """
)
"""The columns that VoucherRow is made of."""


@dataclass(frozen=True, slots=True)
class VoucherRow:
    """A voucher with what is left of it."""

    id: UUID
    title: str
    description: str
    face_value_minor: int | None
    currency_code: str
    price_points: int
    quantity: int
    quantity_left: int
    sale_starts_at: datetime
    sale_ends_at: datetime | None
    codes_expire_at: datetime | None
    created_at: datetime
    state: VoucherState
    price_minor: int | None
    price_rule: PriceRule
    benefit: Mapping[str, Any] | None
    max_per_member: int
    buy_type: BuyType
    max_gifts_per_recipient: int
    valid_days: int
    cancel_days: int
    version: int
    images: Sequence[Mapping[str, Any]]
    codes_wanted: int
    codes_made: int

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)

    @property
    def issued(self) -> int:
        """How many orders have taken."""
        return self.quantity - self.quantity_left

    @property
    def codes_ready(self) -> int:
        """How many codes are made and not sold."""
        return max(self.codes_made - self.issued, 0)

    @property
    def published(self) -> bool:
        """Whether it is on sale, within the time of its sale."""
        return self.state in ("SCHEDULED", "ON_SALE", "ENDED")

    @property
    def price_or_nothing(self) -> int:
        """Its price in money, 0 without one: what lists are sorted by."""
        return self.price_minor or 0

    @property
    def face_value_or_nothing(self) -> int:
        """Its face value, 0 without one: what lists are sorted by."""
        return self.face_value_minor or 0

    @property
    def sale_end(self) -> datetime | str:
        """When its sale ends, `infinity` without an end: what lists are sorted by."""
        return self.sale_ends_at or "infinity"


_VOUCHER = SQL(
    """
    SELECT {columns} FROM vouchers WHERE id = %(id)s
    """
).format(columns=COLUMNS)


async def get_voucher(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """Returns a voucher. Raises VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, VoucherRow, _VOUCHER, id=voucher_id)
    if found is None:
        raise voucher_not_found(voucher_id)
    return found


_LOCK_VOUCHER = SQL(
    """
    SELECT {columns} FROM vouchers WHERE id = %(id)s FOR NO KEY UPDATE
    """
).format(columns=COLUMNS)


async def lock_voucher(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """Returns a voucher with its row locked: nothing is ordered meanwhile. Raises VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, VoucherRow, _LOCK_VOUCHER, id=voucher_id)
    if found is None:
        raise voucher_not_found(voucher_id)
    return found


_OFFERS = SQL(
    """
    SELECT {columns} FROM vouchers WHERE id = ANY(%(ids)s) AND {on_sale}
    """
).format(columns=COLUMNS, on_sale=ON_SALE)


async def get_offers(connection: Connection, voucher_ids: Sequence[UUID]) -> list[VoucherRow | DomainError]:
    """Returns for each voucher what it is, or VOUCHER_NOT_FOUND when it is not on sale now."""
    rows = await fetch_all(connection, VoucherRow, _OFFERS, ids=list(voucher_ids))
    found = {row.id: row for row in rows}
    return [found.get(each) or voucher_not_found(each) for each in voucher_ids]


_PRICE_FILTERS = {f"price_{kind}": condition for kind, condition in PRICE_KINDS.items()}
_KEY = SortKey("vouchers.id", "id", UUID)

VOUCHER_LIST = Listing(
    row=VoucherRow,
    columns=COLUMNS,
    source="vouchers",
    filters={
        "words": HAS_WORDS,
        "found": FOUND,
        **{f"state_{state}": condition for state, condition in STATES.items()},
        "not_on_sale": SQL("NOT {}").format(ON_SALE),
        **_PRICE_FILTERS,
        "buy_type": "vouchers.buy_type = %(buy_type)s",
    },
    keys={
        "created_at": conditions.CREATED_AT,
        "title": conditions.TITLE,
        "price_points": conditions.PRICE_POINTS,
        "price": conditions.PRICE,
        "quantity_left": conditions.QUANTITY_LEFT,
        "sale_starts_at": conditions.SALE_STARTS_AT,
    },
    key=_KEY,
    default_order="created_at desc",
)
"""All vouchers, for staff."""

OFFER_LIST = Listing(
    row=VoucherRow,
    columns=COLUMNS,
    source="vouchers",
    filters={
        "on_sale": ON_SALE,
        "words": HAS_WORDS,
        "found": FOUND,
        **_PRICE_FILTERS,
        "max_points": "vouchers.price_points <= %(max_points)s",
        "available": "vouchers.issued < vouchers.quantity",
    },
    keys={
        "created_at": conditions.CREATED_AT,
        "price_points": conditions.PRICE_POINTS,
        "price": conditions.PRICE,
        "title": conditions.TITLE,
        "sale_ends_at": conditions.SALE_ENDS_AT,
    },
    key=_KEY,
    default_order="created_at desc",
)
"""What members see; `on_sale` is always asked for."""


async def lock_vouchers(connection: Connection, voucher_ids: Collection[UUID]) -> None:
    """Locks vouchers until the commit, in the order of their ids.

    Stock, and counts that are kept for limits, are changed in a statement of its own after this one: it sees
    them as they are then.
    """
    await execute(
        connection,
        "SELECT FROM vouchers WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE",
        ids=list(voucher_ids),
    )


async def is_on_sale(connection: Connection, voucher_id: UUID) -> bool | None:
    """Returns whether a voucher is on sale now, sold out or not; None when there is no such voucher."""
    on_sale: bool | None = await fetch_value(connection, _IS_ON_SALE, id=voucher_id)
    return on_sale


_IS_ON_SALE = SQL("SELECT {on_sale} FROM vouchers WHERE id = %(id)s").format(on_sale=ON_SALE)


@dataclass(frozen=True, slots=True)
class GiftTerms:
    """Whether a voucher may be given to others, and how many of it to one person; 0 without a limit."""

    allowed: bool
    max_per_recipient: int


async def get_gift_terms(connection: Connection, voucher_id: UUID) -> GiftTerms:
    """Returns how a voucher may be given to others. Raises VOUCHER_NOT_FOUND."""
    terms = await fetch_first(
        connection,
        GiftTerms,
        """
        SELECT buy_type = 'GIFT' AS allowed, max_gifts_per_recipient AS max_per_recipient
        FROM vouchers WHERE id = %(id)s
        """,
        id=voucher_id,
    )
    if terms is None:
        raise voucher_not_found(voucher_id)
    return terms
