"""What a receipt would earn, and why. Knows neither gRPC nor SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.points.earning.kinds import describe
from services.points.earning.terms import Counted, Item, Judged, Rule, Terms


@dataclass(frozen=True)
class Applied:
    """A rule that held, and what it did; the programme's settings have no rule id."""

    rule_id: UUID | None
    name: str
    effect: str


@dataclass(frozen=True)
class CountedLine:
    """What a line counts for, and why."""

    amount_minor: int
    percent: int
    why: str


@dataclass(frozen=True)
class Explanation:
    """What a receipt would earn: `bonus` is not among the points of `judged`."""

    judged: Judged
    bonus: int
    applied: Sequence[Applied]
    lines: Sequence[CountedLine]


def explain(terms: Terms, items: Sequence[Item], *, first_purchase: bool) -> Explanation:
    """Returns what a receipt would earn, and why."""
    judged = terms.judge(items)
    counted = [terms.counted(item) for item in items]
    bonus = terms.bonus if first_purchase and judged.points else 0
    applied = [_rate(terms), *_of_lines(counted)]
    if bonus and terms.bonus_rule:
        applied.append(Applied(terms.bonus_rule.id, terms.bonus_rule.name, describe(terms.bonus_rule.effect)))
    lines = [_line(item, each) for item, each in zip(items, counted, strict=True)]
    return Explanation(judged, bonus, applied, lines)


def _rate(terms: Terms) -> Applied:
    rule = terms.rate_rule
    return Applied(rule.id, rule.name, str(terms.rate)) if rule else Applied(None, "", str(terms.rate))


def _of_lines(counted: Sequence[Counted]) -> list[Applied]:
    """Returns the rules that held for some line, the highest first."""
    rules: dict[UUID, tuple[Rule, int]] = {
        each.rule.id: (each.rule, each.percent) for each in counted if each.rule
    }
    times = Counter(each.rule.id for each in counted if each.rule)
    falling = sorted(rules.values(), key=lambda found: found[0].rank, reverse=True)
    return [Applied(rule.id, rule.name, _effect(percent, times[rule.id])) for rule, percent in falling]


def _effect(percent: int, times: int) -> str:
    lines = "1 line" if times == 1 else f"{times} lines"
    return f"{percent} % for {lines}" if percent else f"nothing for {lines}"


def _line(item: Item, counted: Counted) -> CountedLine:
    amount = item.unit_price_minor * item.quantity
    if item.alcohol:
        return CountedLine(amount, 0, "alcohol")
    if counted.rule is None:
        return CountedLine(amount, counted.percent, "counts in full")
    why = f"{counted.percent} % by" if counted.percent else "excluded by"
    return CountedLine(amount, counted.percent, f"{why} {counted.rule.name}")
