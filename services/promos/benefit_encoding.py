"""Benefits as protobuf has them, and back, for the features that show them."""

from __future__ import annotations

from typing import Literal, assert_never

from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2

from services.common.currencies import require_currency
from services.common.encoding import read_text
from services.promos.benefits import AmountOff, Benefit, PercentOff

_Amount = Literal["amount_off", "minimum_spend", "maximum_discount"]
_AMOUNTS: tuple[_Amount, ...] = ("amount_off", "minimum_spend", "maximum_discount")


def read_benefit(message: code_pb2.Benefit, currency: str) -> Benefit:
    """Returns the benefit in a request, in which one kind is set.

    Raises CURRENCY_NOT_SUPPORTED for amounts in another currency than the programme's, and
    VALIDATION_FAILED for categories that can not be read.
    """
    amounts: dict[_Amount, money_pb2.Money] = {
        name: getattr(message, name) for name in _AMOUNTS if message.HasField(name)
    }
    for amount in amounts.values():
        require_currency(amount.currency_code, currency, of="benefits")
    minor = {name: int(amount.amount_minor) for name, amount in amounts.items()}
    percent = message.HasField("percent_off")
    return Benefit(
        PercentOff(message.percent_off) if percent else AmountOff(minor["amount_off"]),
        currency if amounts else None,
        minor.get("minimum_spend"),
        minor.get("maximum_discount"),
        tuple(dict.fromkeys(read_text(name, "benefit.categories") for name in message.categories)),
        message.first_purchase_only,
        message.exclusive,
    )


def encode_benefit(benefit: Benefit) -> code_pb2.Benefit:
    """Returns a benefit as messages have it."""
    message = code_pb2.Benefit(
        minimum_spend=_money(benefit.minimum_spend, benefit),
        maximum_discount=_money(benefit.maximum_discount, benefit),
        categories=benefit.categories,
        first_purchase_only=benefit.first_purchase_only,
        exclusive=benefit.exclusive,
    )
    match benefit.off:
        case AmountOff(minor):
            message.amount_off.currency_code = benefit.currency or ""
            message.amount_off.amount_minor = minor
        case PercentOff(percent):
            message.percent_off = percent
        case _:
            assert_never(benefit.off)
    return message


def _money(minor: int | None, benefit: Benefit) -> money_pb2.Money | None:
    if minor is None:
        return None
    assert benefit.currency, "a benefit with an amount has its currency"
    return money_pb2.Money(currency_code=benefit.currency, amount_minor=minor)
