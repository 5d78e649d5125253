"""The rules that held for a receipt, as they are told with a purchase and with a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.points.earning.kinds import BaseRate, Effect, Exclusion, Multiplier
from services.points.earning.terms import Rule, Terms

MOST_LINE_RULES = 20
"""Rules of lines that are kept with a purchase: the highest."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule that held, and what it does; the programme's own rate has no rule."""

    rule_id: UUID | None
    name: str
    effect: Effect


@dataclass(eq=False, slots=True)
class AppliedRules:
    """The rules that held for purchases, which many share.

    `encoded` is for who tells them, to encode them once and not for each purchase; empty until then.
    """

    rules: Sequence[Applied]
    encoded: bytes = b""


class JudgedPurchase(Protocol):
    """What a purchase keeps of how it was judged.

    `line_rules` are the places, from 1, in its rule set of those that held for lines, the highest first; None
    is none. `earn_rule` are the rules in words, of a purchase from the time before `line_rules`.
    """

    @property
    def rule_set_id(self) -> int:
        """The set that judged it."""

    @property
    def sold_at(self) -> datetime:
        """Chooses, within the set, the rules that held."""

    @property
    def line_rules(self) -> Sequence[int] | None:
        """Places of the rules that held for lines."""

    @property
    def earn_rule(self) -> str | None:
        """The rules in words."""

    @property
    def bonus(self) -> int:
        """Points for a first purchase."""


def applied_rules(terms: Terms, line_rules: Iterable[Rule], *, bonus: bool) -> list[Applied]:
    """Returns the base rate, the rules that held for lines, and with `bonus` that of a first purchase."""
    applied = [_rate(terms)]
    applied += [_applied(rule) for rule in line_rules]
    if bonus and terms.bonus_rule:
        applied.append(_applied(terms.bonus_rule))
    return applied


def named_in(words: str, rules: Iterable[Rule]) -> list[Rule]:
    """Returns the rules that held for lines by the words in which older purchases keep them.

    Such as `1 per 1000 minor units; 200 % by Dairy week; none by Tobacco`. They name ten at most.
    """
    told = f"{words}; "
    return [rule for rule in rules if (part := _in_words(rule)) and f"; {part}; " in told]


def _in_words(rule: Rule) -> str:
    match rule.effect:
        case Exclusion():
            return f"none by {rule.name}"
        case Multiplier(percent):
            return f"{percent} % by {rule.name}"
        case _:
            return ""


def _rate(terms: Terms) -> Applied:
    return _applied(terms.rate_rule) if terms.rate_rule else Applied(None, "", BaseRate(terms.default))


def _applied(rule: Rule) -> Applied:
    return Applied(rule.id, rule.name, rule.effect)
