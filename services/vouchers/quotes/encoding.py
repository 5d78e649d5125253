"""Quotes as protobuf has them."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import order_pb2

from services.common.encoding import timestamp
from services.common.status import to_status
from services.vouchers.quotes.pricing import NewQuote


def encode_quote(new: NewQuote) -> order_pb2.Quote:
    """Returns a quote as messages have it."""
    row, refused = new
    by_method, by_promo_code = row.method_discount_minor, row.promo_discount_minor
    quote = order_pb2.Quote(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        quantity=row.quantity,
        as_gift=row.as_gift,
        price_points=row.price_points,
        payment_method_id=str(row.payment_method_id or ""),
        expires_at=timestamp(row.expires_at),
        promo_code_refused=to_status(refused) if refused else None,
    )

    def money(amount_minor: int) -> money_pb2.Money:
        return money_pb2.Money(currency_code=row.currency_code, amount_minor=amount_minor)

    if row.payment_method_id:
        quote.price.CopyFrom(money(row.amount_minor))
    if by_method or by_promo_code:
        quote.discounts.list_price.CopyFrom(money(row.amount_minor + by_method + by_promo_code))
        quote.discounts.by_payment_method.CopyFrom(money(by_method))
        quote.discounts.by_promo_code.CopyFrom(money(by_promo_code))
    return quote
