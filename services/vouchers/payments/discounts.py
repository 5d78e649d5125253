"""What a payment method takes off the price of an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class PercentOff:
    """So many percent of the order, 1 to 100, to the nearest minor unit, halves up."""

    percent: int


@dataclass(frozen=True, slots=True)
class AmountOff:
    """So many minor units off each piece, never more than it costs."""

    amount_minor: int


MethodDiscount = PercentOff | AmountOff


def discount_of(discount: MethodDiscount | None, price_minor: int, quantity: int = 1) -> int:
    """Returns what a discount takes off an order, in minor units: from 0 to all of `price_minor * quantity`.

    `price_minor` is the price of one piece.
    """
    total = price_minor * quantity
    match discount:
        case None:
            return 0
        case PercentOff(percent):
            return (2 * total * percent + 100) // 200
        case AmountOff(amount_minor):
            return min(amount_minor, price_minor) * quantity
        case _:
            assert_never(discount)
