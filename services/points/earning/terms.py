"""What purchases earn: rules, and how those that hold at a moment judge a receipt. Knows no gRPC and no SQL.

Everything is exact: totals of lines are minor units, multipliers are percent, and the receipt is rounded down
once, at its end. So what lines earn never grows when lines are taken away, and refunds add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, assert_never
from uuid import UUID

from services.points.earning.kinds import BaseRate, Effect, Exclusion, FirstPurchaseBonus, Multiplier, Rate

FULL = 100
"""Percent for which a line counts that no multiplier matches."""

_MOST_CATEGORIES = 1_000


class Item(NamedTuple):
    """What a line of a receipt sells, in minor units of the receipt's currency.

    It is `quantity` whole pieces, or `quantity_milli` thousandths of what the price is for; the other is 0.
    `total_minor` is what the line costs, and what counts.
    """

    sku: str
    name: str
    category: str
    unit_price_minor: int
    quantity: int
    alcohol: bool
    quantity_milli: int
    total_minor: int

    @property
    def milli(self) -> int:
        """How much it is, in thousandths."""
        return self.quantity_milli or self.quantity * 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as staff made it."""

    id: UUID
    name: str
    effect: Effect
    priority: int
    starts_at: datetime | None
    ends_at: datetime | None

    def holds_at(self, moment: datetime) -> bool:
        """Returns whether the rule's window is open."""
        return (self.starts_at is None or self.starts_at <= moment) and (
            self.ends_at is None or moment < self.ends_at
        )

    @property
    def rank(self) -> tuple[int, UUID]:
        """Of several rules the highest holds: by priority, then the newest."""
        return self.priority, self.id


class Counted(NamedTuple):
    """For how much a line counts, in percent, and by which rule, if any."""

    percent: int
    rule: Rule | None


_FULLY = Counted(FULL, None)
_ALCOHOL = Counted(0, None)


class Judged(NamedTuple):
    """Amounts in minor units, and the points that the receipt earns without a bonus."""

    total_minor: int
    eligible_minor: int
    points: int


@dataclass
class _ByKind:
    """Rules with what they do, the highest first."""

    rates: list[tuple[Rule, BaseRate]] = field(default_factory=list)
    exclusions: list[tuple[Rule, Exclusion]] = field(default_factory=list)
    multipliers: list[tuple[Rule, Multiplier]] = field(default_factory=list)
    bonuses: list[tuple[Rule, FirstPurchaseBonus]] = field(default_factory=list)


@dataclass(frozen=True)
class Terms:
    """The rules that hold at one moment, the highest first; `default` is the rate when no rule sets it."""

    default: Rate
    rules: Sequence[Rule]

    @cached_property
    def rate_rule(self) -> Rule | None:
        """The rule that sets the rate, if one does."""
        return self._by_kind.rates[0][0] if self._by_kind.rates else None

    @cached_property
    def rate(self) -> Rate:
        """How many points for how much."""
        return self._by_kind.rates[0][1].rate if self._by_kind.rates else self.default

    @cached_property
    def bonus_rule(self) -> Rule | None:
        """The rule that sets the bonus, if one does."""
        return self._by_kind.bonuses[0][0] if self._by_kind.bonuses else None

    @cached_property
    def bonus(self) -> int:
        """Points on top of a member's first purchase that earns."""
        return self._by_kind.bonuses[0][1].points if self._by_kind.bonuses else 0

    def counted(self, item: Item) -> Counted:
        """Returns for how much a line counts."""
        if item.alcohol:
            return _ALCOHOL
        if self._plain:
            return _FULLY
        return self._by_category.get(item.category) or self._looked_up(item.category)

    def judge(self, items: Iterable[Item]) -> Judged:
        """Returns what a receipt earns."""
        total = eligible = weight = 0
        if self._plain:  # nearly always, and on the hottest path
            for item in items:
                amount = item.total_minor
                total += amount
                if not item.alcohol:
                    eligible += amount
            return Judged(total, eligible, self.rate.earned(eligible))
        for item in items:
            amount = item.total_minor
            total += amount
            percent = self.counted(item).percent
            if percent:
                eligible += amount
                weight += amount * percent
        return Judged(total, eligible, self.rate.earned(weight // FULL))

    def line_rules(self, items: Iterable[Item]) -> Sequence[Rule]:
        """Returns the rules that held for lines, the highest first."""
        if self._plain:
            return ()
        held = {each.rule.id: each.rule for each in map(self.counted, items) if each.rule}
        return sorted(held.values(), key=lambda rule: rule.rank, reverse=True)

    @cached_property
    def _plain(self) -> bool:
        return not self._by_kind.exclusions and not self._by_kind.multipliers

    @cached_property
    def _by_kind(self) -> _ByKind:
        found = _ByKind()
        for rule in self.rules:
            match rule.effect:
                case BaseRate() as effect:
                    found.rates.append((rule, effect))
                case Exclusion() as effect:
                    found.exclusions.append((rule, effect))
                case Multiplier() as effect:
                    found.multipliers.append((rule, effect))
                case FirstPurchaseBonus() as effect:
                    found.bonuses.append((rule, effect))
                case _:
                    assert_never(rule.effect)
        return found

    @cached_property
    def _by_category(self) -> dict[str, Counted]:
        """What was looked up, by the category as tills write it."""
        return {}

    def _looked_up(self, category: str) -> Counted:
        if len(self._by_category) >= _MOST_CATEGORIES:
            self._by_category.clear()
        found = self._by_category[category] = self._of_category(category.casefold())
        return found

    def _of_category(self, category: str) -> Counted:
        for rule, exclusion in self._by_kind.exclusions:
            if category in exclusion.folded:
                return Counted(0, rule)
        for rule, multiplier in self._by_kind.multipliers:
            if not multiplier.categories or category in multiplier.folded:
                return Counted(multiplier.percent, rule)
        return _FULLY
