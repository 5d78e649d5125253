"""What codes take off the lines of a basket, and in which order. Knows no gRPC and no SQL.

Codes combine unless one is exclusive, which applies only alone. They are computed in an order of their own,
never in that of the request: percent before amounts, of each the largest first, then by the code's id. Each
is computed on what those before it left of the lines that it applies to. A discount is rounded once, half up
to a minor unit, and spread over its lines by largest remainder, so that the lines add up to it exactly. All
amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never
from uuid import UUID

from services.common.errors import DomainError
from services.promos.baskets import refusals
from services.promos.benefits import AmountOff, Benefit, PercentOff


class Line(NamedTuple):
    """A line of a basket: what it costs before any discount."""

    category: str
    total_minor: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A code that can be redeemed, and what it takes off."""

    code_id: UUID
    benefit: Benefit


@dataclass(frozen=True, slots=True)
class Discount:
    """What a code takes off: `of_lines` has as many amounts as the basket has lines, most of them often 0."""

    code_id: UUID
    of_lines: Sequence[int]

    @property
    def minor(self) -> int:
        """What it takes off in all."""
        return sum(self.of_lines)


def discounts(
    lines: Sequence[Line], offers: Sequence[Offer], *, alone: bool
) -> dict[UUID, Discount | DomainError]:
    """Returns what each code takes off, or why it does not apply, in the order in which they are computed.

    `alone` is whether no other code was given, be it one that can be redeemed or not. A code that does not
    apply leaves the basket to the others as it is. The refusals are CODE_NOT_COMBINABLE, NO_LINE_APPLIES,
    MINIMUM_SPEND_NOT_REACHED and NOTHING_LEFT_TO_DISCOUNT.
    """
    left = [line.total_minor for line in lines]
    found: dict[UUID, Discount | DomainError] = {}
    for offer in sorted(offers, key=_rank):
        try:
            discount = _discount(lines, left, offer, alone=alone)
        except DomainError as refusal:
            found[offer.code_id] = refusal
        else:
            left = [now - off for now, off in zip(left, discount.of_lines, strict=True)]
            found[offer.code_id] = discount
    return found


def _rank(offer: Offer) -> tuple[int, int, UUID]:
    match offer.benefit.off:
        case PercentOff(percent):
            return 0, -percent, offer.code_id
        case AmountOff(minor):
            return 1, -minor, offer.code_id
        case _:
            assert_never(offer.benefit.off)


def _discount(lines: Sequence[Line], left: Sequence[int], offer: Offer, *, alone: bool) -> Discount:
    benefit = offer.benefit
    if benefit.exclusive and not alone:
        raise refusals.code_not_combinable(offer.code_id)
    places = _places(lines, benefit)
    if not places:
        raise refusals.no_line_applies(offer.code_id)
    spent = sum(lines[place].total_minor for place in places)
    if benefit.minimum_spend is not None and spent < benefit.minimum_spend:
        raise refusals.minimum_spend_not_reached(
            offer.code_id, benefit.minimum_spend, spent, benefit.currency or ""
        )
    still = [left[place] for place in places]
    minor = _amount(benefit, sum(still))
    if minor == 0:
        raise refusals.nothing_left_to_discount(offer.code_id)
    of_lines = [0] * len(lines)
    for place, part in zip(places, spread(minor, still), strict=True):
        of_lines[place] = part
    return Discount(offer.code_id, of_lines)


def _places(lines: Sequence[Line], benefit: Benefit) -> Sequence[int]:
    """Returns the places of the lines that a benefit applies to; letter case does not matter."""
    if not benefit.categories:
        return range(len(lines))
    wanted = {category.casefold() for category in benefit.categories}
    return [place for place, line in enumerate(lines) if line.category.casefold() in wanted]


def _amount(benefit: Benefit, left: int) -> int:
    """Returns what a benefit takes off lines that come to `left`, never more than that."""
    match benefit.off:
        case PercentOff(percent):
            off = (left * percent + 50) // 100
            return off if benefit.maximum_discount is None else min(off, benefit.maximum_discount)
        case AmountOff(minor):
            return min(minor, left)
        case _:
            assert_never(benefit.off)


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Returns parts of an amount in proportion to `weights`, which come to it or more, and more than 0.

    Each is rounded down, and those with the largest remainders, of equal ones the first, get the units that
    are then missing. So the parts add up to the amount, and none exceeds its weight.
    """
    total = sum(weights)
    parts = [amount * weight // total for weight in weights]
    largest_first = sorted(range(len(weights)), key=lambda place: -(amount * weights[place] % total))
    for place in largest_first[: amount - sum(parts)]:
        parts[place] += 1
    return parts
