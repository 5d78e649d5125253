"""Baskets as protobuf has them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from scrip.promos.v1 import basket_pb2

from services.common.errors import DomainError
from services.common.line_totals import MAX_TOTAL_MINOR, receipt_too_large, usual_total
from services.common.status import to_status
from services.promos.baskets.discounts import Discount, Line
from services.promos.baskets.quotes import Quote
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
    reply = basket_pb2.QuoteBasketResponse()
    _set_amounts(reply, quote, currency)
    for given in quote.codes:
        code = reply.codes.add()
        if given.found:
            code.code_id = str(given.found.id)
            code.benefit.CopyFrom(encode_benefit(given.found.benefit))
        if isinstance(given.outcome, DomainError):
            code.refused.CopyFrom(to_status(given.outcome))
        else:
            code.discount_minor = given.outcome.minor
    return reply


def encode_redeemed(
    quote: Quote, currency: str, redeemed: Iterable[tuple[UUID, Discount]]
) -> basket_pb2.RedeemBasketResponse:
    """Returns the reply to a basket, without its time; `redeemed` has the ids of redemptions."""
    reply = basket_pb2.RedeemBasketResponse()
    _set_amounts(reply, quote, currency)
    for redemption_id, discount in redeemed:
        reply.codes.add(
            redemption_id=str(redemption_id), code_id=str(discount.code_id), discount_minor=discount.minor
        )
    return reply


def _set_amounts(
    reply: basket_pb2.QuoteBasketResponse | basket_pb2.RedeemBasketResponse, quote: Quote, currency: str
) -> None:
    """Writes lines and sums in their place: a message that is put into another one is copied."""
    computed = [(str(one.code_id), one.of_lines) for one in quote.discounts]
    total = discount = 0
    for place, line in enumerate(quote.lines):
        encoded = reply.lines.add()
        off = 0
        for code_id, of_lines in computed:
            if part := of_lines[place]:
                encoded.discounts.add(code_id=code_id, discount_minor=part)
                off += part
        encoded.total_minor = line.total_minor
        encoded.discount_minor = off
        encoded.payable_minor = line.total_minor - off
        total += line.total_minor
        discount += off
    sums = ((reply.total, total), (reply.discount, discount), (reply.payable, total - discount))
    for money, minor in sums:
        money.currency_code = currency
        money.amount_minor = minor
