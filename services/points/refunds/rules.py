"""What a refund takes back, and where from. Knows neither gRPC nor SQL.

Lines earn together and are rounded once, so what comes back is the difference between what was left
before and what is left afterwards: partial refunds add up to what the purchase had earned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from services.common.errors import DomainError, invalid_field
from services.points.earning import Terms
from services.points.programme import MAX_POINTS, RefundPolicy
from services.points.purchases import SoldLine


class Returned(NamedTuple):
    """How much of a line comes back: whole pieces, or thousandths; the other is 0."""

    line: int
    quantity: int
    quantity_milli: int = 0

    @classmethod
    def of(cls, line: SoldLine, milli: int) -> Self:
        """Returns so many thousandths of a line, in the unit in which it was sold."""
        return cls(line.number, milli // 1_000) if line.in_pieces else cls(line.number, 0, milli)

    @property
    def milli(self) -> int:
        """How much it is, in thousandths."""
        return self.quantity_milli or self.quantity * 1_000

    @property
    def in_own_unit(self) -> int:
        """How much it is, in pieces or in thousandths."""
        return self.quantity_milli or self.quantity

    def stored(self) -> list[int]:
        """Returns it as it is stored, and as it is compared with a repetition."""
        return [*self] if self.quantity_milli else [self.line, self.quantity]


@dataclass(frozen=True, slots=True)
class Refund:
    """A recorded refund. `amount_minor` is in minor units of the purchase's currency.

    `points` is what the lines had earned: `taken` from the balance, `owed`, `expired` and not taken
    twice, and `waived`. One that `voids` the purchase took back all that was left.
    """

    number: str
    refunded_at: datetime
    recorded_at: datetime
    voids: bool
    lines: Sequence[Returned]
    amount_minor: int
    points: int
    taken: int
    owed: int
    expired: int
    waived: int
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member's points stand, and of the refunded purchase's own lot what is left and expired.

    `lot_expired` is without what earlier refunds of the purchase have counted already.
    """

    balance: int
    debt: int
    closed: bool
    lot_left: int
    lot_expired: int


@dataclass(frozen=True, slots=True)
class Cover:
    """Where a refund's points come from: the purchase's own lot, the others, and below zero or owed."""

    own: int = 0
    others: int = 0
    below_zero: int = 0
    owed: int = 0
    expired: int = 0
    waived: int = 0

    @property
    def taken(self) -> int:
        """Points taken from the balance."""
        return self.own + self.others + self.below_zero

    @property
    def points(self) -> int:
        """All points that come back."""
        return self.taken + self.owed + self.expired + self.waived


def refuse_doubles(wanted: Sequence[Returned]) -> None:
    """Raises VALIDATION_FAILED when a line is named twice."""
    seen: set[int] = set()
    for index, one in enumerate(wanted):
        if one.line in seen:
            raise invalid_field(f"lines[{index}].line", "is named twice")
        seen.add(one.line)


def returned(lines: Iterable[SoldLine], wanted: Sequence[Returned]) -> dict[int, int]:
    """Returns how much of which line comes back, in thousandths; all that is left when nothing is named.

    Raises NOTHING_TO_REFUND, REFUND_EXCEEDS_PURCHASE, and VALIDATION_FAILED for a line that is not there, or
    was sold in the other unit.
    """
    sold = {line.number: line for line in lines}
    if not wanted:
        rest = {line.number: line.left for line in sold.values() if line.left}
        if not rest:
            raise DomainError("NOTHING_TO_REFUND", "everything was refunded already")
        return rest
    for index, one in enumerate(wanted):
        line = sold.get(one.line)
        if line is None:
            raise invalid_field(f"lines[{index}].line", "is not on the receipt")
        if one.quantity and not line.in_pieces:
            raise invalid_field(f"lines[{index}].quantity", "the line was sold in thousandths")
        if one.quantity_milli and line.in_pieces:
            raise invalid_field(f"lines[{index}].quantity_milli", "the line was sold in whole pieces")
        if one.milli > line.left:
            left = _written(line)
            raise DomainError(
                "REFUND_EXCEEDS_PURCHASE",
                f"of line {one.line} there are {left} left to refund",
                line=one.line,
                quantity_left=left,
            )
    return {one.line: one.milli for one in wanted}


def _written(line: SoldLine) -> str:
    """Returns what is left of a line as people write it: `2` pieces, or `0.345`."""
    whole, thousandths = divmod(line.left, 1_000)
    return str(whole) if line.in_pieces else f"{whole}.{thousandths:03}"


def afterwards(lines: Iterable[SoldLine], back: Mapping[int, int]) -> Sequence[SoldLine]:
    """Returns the lines as they are when so many thousandths of them have come back."""
    return [line._replace(left=line.left - back.get(line.number, 0)) for line in lines]


def amount(lines: Iterable[SoldLine], after: Iterable[SoldLine]) -> int:
    """Returns what the returned goods had cost, in minor units."""
    return sum(line.left_minor for line in lines) - sum(line.left_minor for line in after)


def due(terms: Terms, bonus: int, lines: Iterable[SoldLine], after: Iterable[SoldLine]) -> int:
    """Returns the points that the returned goods had earned.

    The bonus came with the first point and goes with the last.
    """
    return _earned(terms, bonus, lines) - _earned(terms, bonus, after)


def _earned(terms: Terms, bonus: int, lines: Iterable[SoldLine]) -> int:
    points = terms.judge(line.item._replace(total_minor=line.left_minor) for line in lines).points
    return points + bonus if points else 0


def cover(points: int, standing: Standing, policy: RefundPolicy, floor: int) -> Cover:
    """Returns where the points come from.

    First what the purchase itself left; then what of it has expired, which is gone already; then the
    member's other points. For the rest the policy decides: the balance goes below zero, down to `floor`,
    or it is owed. What neither may take is waived, and so is everything of a closed account.
    """
    if standing.closed:
        return Cover(waived=points)
    own = min(points, standing.lot_left)
    expired = min(points - own, standing.lot_expired)
    missing = points - own - expired
    others = min(missing, max(standing.balance, 0) - own)
    missing -= others
    balance = standing.balance - own - others
    below_zero = owed = 0
    if policy is RefundPolicy.NEGATIVE_BALANCE:
        below_zero = min(missing, max(balance - floor, 0))
    else:
        owed = min(missing, MAX_POINTS - standing.debt)
    return Cover(own, others, below_zero, owed, expired, missing - below_zero - owed)
