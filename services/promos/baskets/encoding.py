"""Baskets as protobuf has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from scrip.common.v1 import money_pb2
from scrip.promos.v1 import basket_pb2

from services.common.errors import DomainError
from services.common.line_totals import MAX_TOTAL_MINOR, receipt_too_large, usual_total
from services.common.status import to_status
from services.promos.baskets.discounts import Discount, Line
from services.promos.baskets.quotes import GivenCode, Quote
from services.promos.benefit_encoding import encode_benefit


def read_lines(given: Iterable[basket_pb2.BasketLine]) -> list[Line]:
    """Returns the lines of a basket, each with its total. Raises RECEIPT_TOO_LARGE.

    A total that a line would have anyway is taken out of the message: told or not, it is the same basket.
    """
    lines = [Line(line.category, _total(line)) for line in given]
    if sum(line.total_minor for line in lines) > MAX_TOTAL_MINOR:
        raise receipt_too_large()
    return lines


def _total(line: basket_pb2.BasketLine) -> int:
    usual = usual_total(line.unit_price_minor, line.quantity, line.quantity_milli)
    if line.HasField("total_minor") and line.total_minor != usual:
        return line.total_minor
    line.ClearField("total_minor")
    return usual


def encode_quote(quote: Quote, currency: str) -> basket_pb2.QuoteBasketResponse:
    """Returns a quote as messages have it."""
    total, off = _sums(quote)
    return basket_pb2.QuoteBasketResponse(
        lines=_lines(quote),
        codes=map(_code, quote.codes),
        total=_money(total, currency),
        discount=_money(off, currency),
        payable=_money(total - off, currency),
    )


def encode_redeemed(
    quote: Quote, currency: str, redeemed: Sequence[tuple[UUID, Discount]]
) -> basket_pb2.RedeemBasketResponse:
    """Returns the reply to a basket, without its time; `redeemed` has the ids of redemptions."""
    total, off = _sums(quote)
    return basket_pb2.RedeemBasketResponse(
        lines=_lines(quote),
        codes=[
            basket_pb2.RedeemedCode(
                redemption_id=str(redemption_id),
                code_id=str(discount.code_id),
                discount_minor=discount.minor,
            )
            for redemption_id, discount in redeemed
        ],
        total=_money(total, currency),
        discount=_money(off, currency),
        payable=_money(total - off, currency),
    )


def _sums(quote: Quote) -> tuple[int, int]:
    """Returns what all lines come to, and what is taken off."""
    return sum(line.total_minor for line in quote.lines), sum(one.minor for one in quote.discounts)


def _lines(quote: Quote) -> list[basket_pb2.DiscountedLine]:
    encoded = []
    for place, line in enumerate(quote.lines):
        parts = [
            basket_pb2.LineDiscount(code_id=str(one.code_id), discount_minor=one.of_lines[place])
            for one in quote.discounts
            if one.of_lines[place]
        ]
        off = sum(part.discount_minor for part in parts)
        encoded.append(
            basket_pb2.DiscountedLine(
                total_minor=line.total_minor,
                discount_minor=off,
                payable_minor=line.total_minor - off,
                discounts=parts,
            )
        )
    return encoded


def _code(given: GivenCode) -> basket_pb2.QuotedCode:
    encoded = basket_pb2.QuotedCode()
    if given.found:
        encoded.code_id = str(given.found.id)
        encoded.benefit.CopyFrom(encode_benefit(given.found.benefit))
    if isinstance(given.outcome, DomainError):
        encoded.refused.CopyFrom(to_status(given.outcome))
    else:
        encoded.discount_minor = given.outcome.minor
    return encoded


def _money(minor: int, currency: str) -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, amount_minor=minor)
