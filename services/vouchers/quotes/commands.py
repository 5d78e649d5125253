"""Writes of quotes."""

from __future__ import annotations

from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, execute, fetch_first, fetch_one
from services.common.ids import new_id
from services.vouchers.quotes.prices import PricedOrder
from services.vouchers.quotes.queries import QUOTE, QuoteRow, get_quote
from services.vouchers.quotes.refusals import quote_expired, quote_used

_MAKE = SQL(
    """
    INSERT INTO quotes AS q (
      id, member_id, voucher_id, quantity, as_gift, price_points, amount_minor, currency_code,
      method_discount_minor, promo_discount_minor, payment_method_id, promo_code_id, expires_at
    ) VALUES (
      %(id)s, %(member_id)s, %(voucher_id)s, %(quantity)s, %(as_gift)s, %(price_points)s, %(amount_minor)s,
      %(currency_code)s, %(method_discount_minor)s, %(promo_discount_minor)s, %(payment_method_id)s,
      %(promo_code_id)s, now() + make_interval(secs => %(seconds)s)
    )
    RETURNING {quote}
    """
).format(quote=QUOTE)


async def make_quote(
    connection: Connection, priced: PricedOrder, *, member_id: UUID, as_gift: bool, seconds: int
) -> QuoteRow:
    """Keeps what an order costs for so many seconds."""
    return await fetch_one(
        connection,
        QuoteRow,
        _MAKE,
        id=new_id(),
        member_id=member_id,
        voucher_id=priced.voucher_id,
        quantity=priced.quantity,
        as_gift=as_gift,
        price_points=priced.price_points,
        amount_minor=priced.amount_minor,
        currency_code=priced.currency_code,
        method_discount_minor=priced.method_discount_minor,
        promo_discount_minor=priced.promo_discount_minor,
        payment_method_id=priced.payment_method_id,
        promo_code_id=priced.promo_code_id,
        seconds=seconds,
    )


_USE = SQL(
    """
    UPDATE quotes AS q SET used_by_key = %(key)s
    WHERE q.id = %(id)s AND q.member_id = %(member_id)s AND now() < q.expires_at
      AND (q.used_by_key IS NULL OR q.used_by_key = %(key)s)
    RETURNING {quote}
    """
).format(quote=QUOTE)


async def use_quote(connection: Connection, quote_id: UUID, *, member_id: UUID, key: str) -> QuoteRow:
    """Takes a quote for the order that will have this key, and for no other.

    A key has one order, so a quote has one at most. Raises QUOTE_NOT_FOUND, QUOTE_USED and QUOTE_EXPIRED.
    """
    used = await fetch_first(connection, QuoteRow, _USE, id=quote_id, member_id=member_id, key=key)
    if used is not None:
        return used
    quote = await get_quote(connection, quote_id, member_id)
    if quote.used_by_key not in (None, key):
        raise quote_used(quote_id)
    raise quote_expired(quote_id, quote.expires_at)


async def forget_old_quotes(connection: Connection) -> int:
    """Removes up to 1,000 quotes that expired more than a day ago; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM quotes WHERE id IN (
          SELECT id FROM quotes WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT 1000
        )
        """,
    )
