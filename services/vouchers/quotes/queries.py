"""Reads of quotes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first
from services.vouchers.quotes.refusals import quote_not_found


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """What an order costs, until when."""

    id: UUID
    voucher_id: UUID
    quantity: int
    as_gift: bool
    price_points: int
    amount_minor: int
    currency_code: str
    method_discount_minor: int
    promo_discount_minor: int
    payment_method_id: UUID | None
    promo_code_id: UUID | None
    used_by_key: str | None
    expires_at: datetime


QUOTE = SQL(
    """
    q.id, q.voucher_id, q.quantity, q.as_gift, q.price_points, q.amount_minor, q.currency_code,
    q.method_discount_minor, q.promo_discount_minor, q.payment_method_id, q.promo_code_id, q.used_by_key,
    q.expires_at
    """
)
"""The columns of a quote `q` that QuoteRow is made of."""

_MEMBER_QUOTE = SQL(
    """
    SELECT {quote} FROM quotes q WHERE q.id = %(id)s AND q.member_id = %(member_id)s
    """
).format(quote=QUOTE)


async def get_quote(connection: Connection, quote_id: UUID, member_id: UUID) -> QuoteRow:
    """Returns a quote of this member. Raises QUOTE_NOT_FOUND."""
    found = await fetch_first(connection, QuoteRow, _MEMBER_QUOTE, id=quote_id, member_id=member_id)
    if found is None:
        raise quote_not_found(quote_id)
    return found
