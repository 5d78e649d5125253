"""What an earn rule does: a class for each kind. The database knows them as a text and JSON, only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

_WORDS = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """`points` for each full `per_minor` of a receipt's eligible total."""

    points: int
    per_minor: int

    def earned(self, eligible_minor: int) -> int:
        """Returns the points for this eligible total, in minor units."""
        return eligible_minor // self.per_minor * self.points

    def __str__(self) -> str:
        return f"{self.points} per {self.per_minor} minor units"


@dataclass(frozen=True, slots=True)
class BaseRate:
    """The rate: how many points a receipt earns for how much."""

    rate: Rate


@dataclass(frozen=True)
class Exclusion:
    """Lines of these categories count for nothing."""

    categories: tuple[str, ...]

    @cached_property
    def folded(self) -> frozenset[str]:
        """The categories in one letter case."""
        return _folded(self.categories)


@dataclass(frozen=True)
class Multiplier:
    """Lines of these categories count for `percent` of what they cost; without categories all lines do."""

    percent: int
    categories: tuple[str, ...]

    @cached_property
    def folded(self) -> frozenset[str]:
        """The categories in one letter case."""
        return _folded(self.categories)


@dataclass(frozen=True, slots=True)
class FirstPurchaseBonus:
    """Points on top of a member's first purchase that earns."""

    points: int


Effect = BaseRate | Exclusion | Multiplier | FirstPurchaseBonus


def describe(effect: Effect) -> str:
    """Returns what a rule does in a few words, such as `200 % for dairy, bread`."""
    match effect:
        case BaseRate():
            return str(effect.rate)
        case Exclusion():
            return f"none for {_named(effect.categories)}"
        case Multiplier():
            return f"{effect.percent} % for {_named(effect.categories)}"
        case FirstPurchaseBonus():
            return f"{effect.points} points for the first purchase"
        case _:
            assert_never(effect)


def categories_of(effect: Effect) -> Sequence[str]:
    """Returns the categories that a rule names, as staff wrote them."""
    match effect:
        case Exclusion() | Multiplier():
            return effect.categories
        case BaseRate() | FirstPurchaseBonus():
            return ()
        case _:
            assert_never(effect)


def to_stored(effect: Effect) -> tuple[str, dict[str, Any]]:
    """Returns an effect as the database keeps it: its kind and its figures."""
    match effect:
        case BaseRate():
            return "BASE_RATE", {"points": effect.rate.points, "per_minor": effect.rate.per_minor}
        case Exclusion():
            return "EXCLUSION", {"categories": list(effect.categories)}
        case Multiplier():
            return "MULTIPLIER", {"percent": effect.percent, "categories": list(effect.categories)}
        case FirstPurchaseBonus():
            return "FIRST_PURCHASE_BONUS", {"points": effect.points}
        case _:
            assert_never(effect)


def from_stored(kind: str, figures: Mapping[str, Any]) -> Effect:
    """Returns the effect that the database keeps so. Raises ValueError for a kind that is not known."""
    match kind:
        case "BASE_RATE":
            return BaseRate(Rate(figures["points"], figures["per_minor"]))
        case "EXCLUSION":
            return Exclusion(tuple(figures["categories"]))
        case "MULTIPLIER":
            return Multiplier(figures["percent"], tuple(figures["categories"]))
        case "FIRST_PURCHASE_BONUS":
            return FirstPurchaseBonus(figures["points"])
        case _:
            raise ValueError(f"an earn rule of unknown kind {kind}")


def enumerate_words(words: Sequence[str], separator: str) -> str:
    """Returns all of them, or the first ones and how many more there are."""
    more = len(words) - _WORDS
    return separator.join([*words[:_WORDS], *([f"and {more} more"] if more > 0 else [])])


def _named(categories: Sequence[str]) -> str:
    return enumerate_words(categories, ", ") if categories else "everything"


def _folded(categories: Sequence[str]) -> frozenset[str]:
    return frozenset(category.casefold() for category in categories)
