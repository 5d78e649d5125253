"""Benefits as protobuf has them, and back, for the features that show them."""

from __future__ import annotations

from typing import assert_never

from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2

from services.promos.benefits import AmountOff, Benefit, PercentOff


def read_benefit(message: code_pb2.Benefit) -> Benefit:
    """Returns the benefit in a request, in which one kind is set."""
    if message.HasField("percent_off"):
        return PercentOff(message.percent_off)
    return AmountOff(message.amount_off.amount_minor, message.amount_off.currency_code)


def encode_benefit(benefit: Benefit) -> code_pb2.Benefit:
    """Returns a benefit as messages have it."""
    match benefit:
        case AmountOff(minor, currency):
            return code_pb2.Benefit(amount_off=money_pb2.Money(currency_code=currency, amount_minor=minor))
        case PercentOff(percent):
            return code_pb2.Benefit(percent_off=percent)
        case _:
            assert_never(benefit)
