"""What purchases earn: the rules, and how they judge a receipt. Knows neither gRPC nor SQL.

Everything is exact: prices are minor units, multipliers are percent, and the receipt is rounded down
once, at its end. So what lines earn never grows when lines are taken away, and refunds add up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from services.points.purchases.purchase import EarnRule, Item

FULL = 100
"""Percent for which a line counts that no multiplier matches."""
BASE_RATE, EXCLUSION, MULTIPLIER, BONUS = "BASE_RATE", "EXCLUSION", "MULTIPLIER", "FIRST_PURCHASE_BONUS"

_MOST_TERMS = 64
_MOST_CATEGORIES = 1_000
_WORDS = 10


@dataclass(frozen=True)
class Rule:
    """A rule as staff made it. `effect` holds what its kind needs.

    BASE_RATE has `points` and `per_minor`, EXCLUSION `categories`, MULTIPLIER `percent` and `categories`
    (none for all), FIRST_PURCHASE_BONUS `points`.
    """

    id: UUID
    name: str
    kind: str
    effect: Mapping[str, Any]
    priority: int
    starts_at: datetime | None
    ends_at: datetime | None

    def holds_at(self, moment: datetime) -> bool:
        """Whether the rule's window is open."""
        return (self.starts_at is None or self.starts_at <= moment) and (
            self.ends_at is None or moment < self.ends_at
        )

    @property
    def rank(self) -> tuple[int, UUID]:
        """Of several rules the highest holds: by priority, then the newest."""
        return self.priority, self.id

    @cached_property
    def categories(self) -> frozenset[str]:
        """The categories that it names, in one letter case."""
        return frozenset(category.casefold() for category in self.effect.get("categories", ()))

    @cached_property
    def words(self) -> str:
        """What it does, in a few words, such as `200 % for dairy, bread`."""
        match self.kind:
            case "BASE_RATE":
                return str(EarnRule(self.effect["points"], self.effect["per_minor"]))
            case "FIRST_PURCHASE_BONUS":
                return f"{self.effect['points']} points for the first purchase"
        categories = self.effect.get("categories", ())
        named = _enumerated(categories, ", ") if categories else "everything"
        return f"{self.effect['percent']} % for {named}" if self.kind == MULTIPLIER else f"none for {named}"


class Counted(NamedTuple):
    """For how much a line counts, in percent, and which rule says so, if any does."""

    percent: int
    rule: Rule | None


_FULLY = Counted(FULL, None)
_ALCOHOL = Counted(0, None)


class Judged(NamedTuple):
    """Amounts in minor units, and the points that the receipt earns without a bonus."""

    total_minor: int
    eligible_minor: int
    points: int


@dataclass(frozen=True)
class Terms:
    """The rules that hold at one moment, the highest first; `default` is the rate when no rule says it."""

    default: EarnRule
    rules: Sequence[Rule]

    @cached_property
    def rate_rule(self) -> Rule | None:
        """The rule that says the rate, if one does."""
        return next(iter(self._of_kind(BASE_RATE)), None)

    @cached_property
    def rate(self) -> EarnRule:
        """How many points for how much."""
        rule = self.rate_rule
        return EarnRule(rule.effect["points"], rule.effect["per_minor"]) if rule else self.default

    @cached_property
    def bonus_rule(self) -> Rule | None:
        """The rule that says the bonus, if one does."""
        return next(iter(self._of_kind(BONUS)), None)

    @cached_property
    def bonus(self) -> int:
        """Points on top of a member's first purchase that earns."""
        return int(self.bonus_rule.effect["points"]) if self.bonus_rule else 0

    def counted(self, item: Item) -> Counted:
        """For how much a line counts."""
        if item.alcohol:
            return _ALCOHOL
        if self._plain:
            return _FULLY
        return self._by_category.get(item.category) or self._looked_up(item.category)

    def judge(self, items: Iterable[Item]) -> Judged:
        """What a receipt earns."""
        total = eligible = weight = 0
        if self._plain:  # nearly always, and on the hottest path
            for item in items:
                amount = item.unit_price_minor * item.quantity
                total += amount
                if not item.alcohol:
                    eligible += amount
            return Judged(total, eligible, self.rate.earned(eligible))
        for item in items:
            amount = item.unit_price_minor * item.quantity
            total += amount
            percent = self.counted(item).percent
            if percent:
                eligible += amount
                weight += amount * percent
        return Judged(total, eligible, self.rate.earned(weight // FULL))

    def words(self, items: Iterable[Item]) -> str:
        """The rules that judged these lines, such as `1 per 1000 minor units; 200 % by Dairy week`."""
        if self._plain:
            return self._rate_words
        applied = {each.rule.id: each for each in map(self.counted, items) if each.rule}
        return _enumerated([self._rate_words, *sorted(map(_words, applied.values()))], "; ")

    @cached_property
    def _rate_words(self) -> str:
        return f"{self.rate} by {self.rate_rule.name}" if self.rate_rule else str(self.rate)

    @cached_property
    def _plain(self) -> bool:
        return not self._exclusions and not self._multipliers

    @cached_property
    def _exclusions(self) -> Sequence[Rule]:
        return self._of_kind(EXCLUSION)

    @cached_property
    def _multipliers(self) -> Sequence[Rule]:
        return self._of_kind(MULTIPLIER)

    @cached_property
    def _by_category(self) -> dict[str, Counted]:
        """What was looked up, by the category as tills write it."""
        return {}

    def _of_kind(self, kind: str) -> Sequence[Rule]:
        return [rule for rule in self.rules if rule.kind == kind]

    def _looked_up(self, category: str) -> Counted:
        if len(self._by_category) >= _MOST_CATEGORIES:
            self._by_category.clear()
        found = self._by_category[category] = self._of_category(category.casefold())
        return found

    def _of_category(self, category: str) -> Counted:
        for rule in self._exclusions:
            if category in rule.categories:
                return Counted(0, rule)
        for rule in self._multipliers:
            if not rule.categories or category in rule.categories:
                return Counted(int(rule.effect["percent"]), rule)
        return _FULLY


@dataclass(frozen=True)
class RuleSet:
    """All rules that were enabled at one time, and the programme's own rate. Never changes."""

    id: int
    default: EarnRule
    rules: Sequence[Rule]

    def at(self, sold_at: datetime) -> Terms:
        """The terms for a sale at a moment."""
        turn = bisect_right(self._turns, sold_at)
        return self._terms.get(turn) or self._made(turn)

    @cached_property
    def size(self) -> int:
        """How much memory it takes, in rules and categories."""
        return 1 + sum(1 + len(rule.effect.get("categories", ())) for rule in self.rules)

    @cached_property
    def _turns(self) -> Sequence[datetime]:
        """The moments at which the terms change."""
        return sorted({moment for rule in self.rules for moment in (rule.starts_at, rule.ends_at) if moment})

    @cached_property
    def _terms(self) -> dict[int, Terms]:
        """Those that were asked for, by the number of turns before them."""
        return {}

    def _made(self, turn: int) -> Terms:
        if turn:
            begin = self._turns[turn - 1]
            rules = [rule for rule in self.rules if rule.holds_at(begin)]
        else:
            rules = [rule for rule in self.rules if rule.starts_at is None]
        if len(self._terms) >= _MOST_TERMS:
            self._terms.clear()
        made = Terms(self.default, sorted(rules, key=lambda rule: rule.rank, reverse=True))
        self._terms[turn] = made
        return made

    def content(self) -> dict[str, Any]:
        """As the database keeps it."""
        return {
            "default": {"points": self.default.points, "per_minor": self.default.per_minor},
            "rules": [
                {
                    "id": str(rule.id),
                    "name": rule.name,
                    "kind": rule.kind,
                    "effect": dict(rule.effect),
                    "priority": rule.priority,
                    "starts_at": rule.starts_at.isoformat() if rule.starts_at else None,
                    "ends_at": rule.ends_at.isoformat() if rule.ends_at else None,
                }
                for rule in self.rules
            ],
        }

    @classmethod
    def from_content(cls, set_id: int, content: Mapping[str, Any]) -> RuleSet:
        """From what the database keeps."""
        default = content["default"]
        rules = [
            Rule(
                UUID(kept["id"]),
                kept["name"],
                kept["kind"],
                kept["effect"],
                kept["priority"],
                datetime.fromisoformat(kept["starts_at"]) if kept["starts_at"] else None,
                datetime.fromisoformat(kept["ends_at"]) if kept["ends_at"] else None,
            )
            for kept in content["rules"]
        ]
        return cls(set_id, EarnRule(default["points"], default["per_minor"]), rules)


def _words(counted: Counted) -> str:
    assert counted.rule, "only rules are named"
    return (
        f"{counted.percent} % by {counted.rule.name}" if counted.percent else f"none by {counted.rule.name}"
    )


def _enumerated(words: Sequence[str], separator: str) -> str:
    """All of them, or the first and how many more there are."""
    more = len(words) - _WORDS
    return separator.join([*words[:_WORDS], *([f"and {more} more"] if more > 0 else [])])
