"""What a receipt would earn, and why. Knows neither gRPC nor SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.points.earning.applied import Applied, applied_rules
from services.points.earning.terms import Counted, Item, Judged, Terms


@dataclass(frozen=True)
class CountedLine:
    """What a line counts for, and why: as alcohol, or by a rule, or in full without one."""

    amount_minor: int
    alcohol: bool
    counted: Counted


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
    bonus = terms.bonus if first_purchase and judged.points else 0
    return Explanation(
        judged,
        bonus,
        applied_rules(terms, terms.line_rules(items), bonus=bonus > 0),
        [CountedLine(item.total_minor, item.alcohol, terms.counted(item)) for item in items],
    )
