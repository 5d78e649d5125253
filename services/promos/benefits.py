"""What a code takes off a sale, and the columns that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, assert_never


@dataclass(frozen=True, slots=True)
class AmountOff:
    """An amount, in minor units of a currency."""

    minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class PercentOff:
    """Percent of the sale, 1 to 100."""

    percent: int


Benefit = AmountOff | PercentOff


class BenefitValues(TypedDict):
    """The values of a benefit's columns, by name."""

    amount_off_minor: int | None
    currency_code: str | None
    percent_off: int | None


@dataclass(frozen=True, slots=True)
class BenefitColumns:
    """The columns of a benefit, for rows that have one."""

    amount_off_minor: int | None
    currency_code: str | None
    percent_off: int | None

    @property
    def benefit(self) -> Benefit:
        """What these columns hold; `ck_code_sets_one_benefit` sees to it that it is one kind."""
        if self.percent_off is not None:
            return PercentOff(self.percent_off)
        assert self.amount_off_minor is not None, "a benefit is an amount or percent"
        assert self.currency_code is not None, "an amount has a currency"
        return AmountOff(self.amount_off_minor, self.currency_code)


def values(benefit: Benefit) -> BenefitValues:
    """Returns the columns of a benefit."""
    match benefit:
        case AmountOff(minor, currency):
            return BenefitValues(amount_off_minor=minor, currency_code=currency, percent_off=None)
        case PercentOff(percent):
            return BenefitValues(amount_off_minor=None, currency_code=None, percent_off=percent)
        case _:
            assert_never(benefit)
