"""Reads of vouchers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_value
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.common.paging import Page
from services.vouchers.catalogue.refusals import voucher_not_found

PriceRule = Literal["EITHER", "TOGETHER"]
BuyType = Literal["SELF", "GIFT"]
VoucherState = Literal["DRAFT", "SCHEDULED", "ON_SALE", "ENDED", "INACTIVE", "ARCHIVED"]

ON_SALE = SQL(
    """
    (vouchers.state = 'ACTIVE' AND vouchers.sale_starts_at <= now()
      AND (vouchers.sale_ends_at IS NULL OR now() < vouchers.sale_ends_at))
    """
)
"""Whether a voucher can be had now, for statements on `vouchers`."""

POINTS_ALONE = SQL(
    """
    (vouchers.price_points > 0 AND (vouchers.price_rule = 'EITHER' OR vouchers.price_minor IS NULL))
    """
)
"""Whether a voucher can be had for points without money, for statements on `vouchers`."""

VOUCHERS = SQL(
    """
    (
      SELECT
        id, title, face_value_minor, currency_code, benefit, codes_expire_at, valid_days, cancel_days
      FROM vouchers
    )
    """
)
"""What a voucher is, for statements that join it."""

_COLUMNS = SQL(
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
    cancel_days, version
    """
)


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

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


_VOUCHER = SQL(
    """
    SELECT {columns} FROM vouchers WHERE id = %(id)s
    """
).format(columns=_COLUMNS)


async def get_voucher(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """Returns a voucher. Raises VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, VoucherRow, _VOUCHER, id=voucher_id)
    if found is None:
        raise voucher_not_found(voucher_id)
    return found


_OFFER = SQL(
    """
    SELECT {columns} FROM vouchers WHERE id = %(id)s AND {on_sale}
    """
).format(columns=_COLUMNS, on_sale=ON_SALE)


async def get_offer(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """Returns a voucher that is on sale now. Raises VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, VoucherRow, _OFFER, id=voucher_id)
    if found is None:
        raise voucher_not_found(voucher_id)
    return found


VOUCHER_LIST = Listing(
    row=VoucherRow,
    columns=_COLUMNS,
    source="vouchers",
    filters={
        "query": "starts_with(lower(title), lower(%(query)s))",
        "on_sale": SQL("{} = %(on_sale)s").format(ON_SALE),
    },
    keys={
        "created_at": SortKey("created_at", "created_at", parse_moment),
        "title": SortKey("title", "title", parse_text),
    },
    key=SortKey("id", "id", UUID),
    default_order="created_at desc",
)
"""All vouchers. Staff make them one by one, so no filter needs an index."""


_ALL_OFFERS = SQL(
    """
    SELECT {columns} FROM vouchers
    WHERE {on_sale} AND (%(after)s::uuid IS NULL OR id < %(after)s)
    ORDER BY id DESC LIMIT %(limit)s
    """
).format(columns=_COLUMNS, on_sale=ON_SALE)


async def list_offers(connection: Connection, page: Page) -> tuple[Sequence[VoucherRow], str]:
    """Returns a page of what is on sale now, the newest first, and the token of the next one."""
    rows = await fetch_all(connection, VoucherRow, _ALL_OFFERS, after=page.after(UUID), limit=page.size + 1)
    return page.cut(rows, lambda voucher: voucher.id)


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
