"""What a code takes off a sale, and under which conditions; and the columns that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString, TypedDict, assert_never

from psycopg.sql import SQL, Composed


@dataclass(frozen=True, slots=True)
class AmountOff:
    """An amount, in minor units of the benefit's currency."""

    minor: int


@dataclass(frozen=True, slots=True)
class PercentOff:
    """Percent of the lines that it applies to, 1 to 100."""

    percent: int


@dataclass(frozen=True, slots=True)
class Benefit:
    """What a code takes off, from which lines of a sale, and what the sale must be.

    All amounts are minor units of `currency`, which is None when there is none. Without `categories` it
    applies to every line.
    """

    off: AmountOff | PercentOff
    currency: str | None = None
    minimum_spend: int | None = None
    """What the lines that it applies to must come to, before any discount."""
    maximum_discount: int | None = None
    """The most that percent take off."""
    categories: tuple[str, ...] = ()
    first_purchase_only: bool = False
    """Only for a member who has bought nothing before."""
    exclusive: bool = False
    """Not together with other codes."""

    @property
    def has_conditions(self) -> bool:
        """Whether the sale decides if it applies; then the code is redeemed with its basket."""
        return bool(
            self.minimum_spend is not None or self.categories or self.first_purchase_only or self.exclusive
        )


class BenefitValues(TypedDict):
    """The values of a benefit's columns, by name."""

    amount_off_minor: int | None
    currency_code: str | None
    percent_off: int | None
    minimum_spend_minor: int | None
    maximum_discount_minor: int | None
    categories: list[str]
    first_purchase_only: bool
    exclusive: bool


@dataclass(frozen=True, slots=True)
class BenefitColumns:
    """The columns of a benefit, for rows that have one."""

    amount_off_minor: int | None
    currency_code: str | None
    percent_off: int | None
    minimum_spend_minor: int | None
    maximum_discount_minor: int | None
    categories: list[str]
    first_purchase_only: bool
    exclusive: bool

    @property
    def benefit(self) -> Benefit:
        """What these columns hold; `ck_code_sets_one_benefit` sees to it that it is one kind."""
        return Benefit(
            self._off,
            self.currency_code,
            self.minimum_spend_minor,
            self.maximum_discount_minor,
            tuple(self.categories),
            self.first_purchase_only,
            self.exclusive,
        )

    @property
    def _off(self) -> AmountOff | PercentOff:
        if self.percent_off is not None:
            return PercentOff(self.percent_off)
        assert self.amount_off_minor is not None, "a benefit is an amount or percent"
        return AmountOff(self.amount_off_minor)


_NAMES: tuple[LiteralString, ...] = (
    "amount_off_minor",
    "currency_code",
    "percent_off",
    "minimum_spend_minor",
    "maximum_discount_minor",
    "categories",
    "first_purchase_only",
    "exclusive",
)

BENEFIT_NAMES = SQL(", ").join(map(SQL, _NAMES))
"""The columns of a benefit, for the list of an INSERT."""

BENEFIT_VALUES = SQL(
    """
    %(amount_off_minor)s, %(currency_code)s, %(percent_off)s, %(minimum_spend_minor)s,
    %(maximum_discount_minor)s, %(categories)s, %(first_purchase_only)s, %(exclusive)s
    """
)
"""The placeholders for what `values` returns, in the order of BENEFIT_NAMES."""


def benefit_of(alias: LiteralString) -> Composed:
    """Returns the columns of the benefit in the row `alias`, for a SELECT that fills BenefitColumns."""
    return SQL(", ").join(SQL(alias + "." + name) for name in _NAMES)


def values(benefit: Benefit) -> BenefitValues:
    """Returns the columns of a benefit."""
    amount, percent = None, None
    match benefit.off:
        case AmountOff(minor):
            amount = minor
        case PercentOff(whole):
            percent = whole
        case _:
            assert_never(benefit.off)
    return BenefitValues(
        amount_off_minor=amount,
        currency_code=benefit.currency,
        percent_off=percent,
        minimum_spend_minor=benefit.minimum_spend,
        maximum_discount_minor=benefit.maximum_discount,
        categories=list(benefit.categories),
        first_purchase_only=benefit.first_purchase_only,
        exclusive=benefit.exclusive,
    )
