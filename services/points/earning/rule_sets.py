"""All rules of one time together: what judges the sales of every moment, and how it is stored."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from services.points.earning.applied import (
    MOST_LINE_RULES,
    AppliedRules,
    JudgedPurchase,
    applied_rules,
    named_in,
)
from services.points.earning.kinds import Rate, categories_of, from_stored, to_stored
from services.points.earning.terms import Rule, Terms

_MOST_TERMS = 64
_MOST_APPLIED = 500


@dataclass(frozen=True)
class RuleSet:
    """All rules that were enabled at one time, and the programme's own rate. Never changes."""

    id: int
    default: Rate
    rules: Sequence[Rule]

    def at(self, sold_at: datetime) -> Terms:
        """Returns the terms for a sale at a moment."""
        turn = bisect_right(self._turns, sold_at)
        return self._terms.get(turn) or self._made(turn)

    def places(self, rules: Sequence[Rule]) -> Sequence[int]:
        """Returns the places in this set, from 1, of the first rules of these, as a purchase keeps them."""
        return tuple(self._places[rule.id] for rule in rules[:MOST_LINE_RULES]) if rules else ()

    def applied(self, purchase: JudgedPurchase) -> AppliedRules:
        """Returns the rules that held for a purchase which this set judged; the same for all like it."""
        held = tuple(purchase.line_rules) if purchase.line_rules else purchase.earn_rule
        key = (bisect_right(self._turns, purchase.sold_at), held, purchase.bonus > 0)
        return self._applied.get(key) or self._told(key, purchase)

    def _told(self, key: tuple[object, ...], purchase: JudgedPurchase) -> AppliedRules:
        terms = self.at(purchase.sold_at)
        rules: Sequence[Rule] = ()
        if purchase.line_rules:
            rules = [self.rules[place - 1] for place in purchase.line_rules]
        elif purchase.earn_rule:
            rules = named_in(purchase.earn_rule, terms.rules)
        if len(self._applied) >= _MOST_APPLIED:
            self._applied.clear()
        told = AppliedRules(applied_rules(terms, rules, bonus=purchase.bonus > 0))
        self._applied[key] = told
        return told

    @cached_property
    def size(self) -> int:
        """How much memory it takes, in rules and categories."""
        return 1 + sum(1 + len(categories_of(rule.effect)) for rule in self.rules)

    @cached_property
    def _applied(self) -> dict[tuple[object, ...], AppliedRules]:
        """Those that were asked for, by the number of turns before them, line rules and bonus."""
        return {}

    @cached_property
    def _places(self) -> Mapping[UUID, int]:
        return {rule.id: place for place, rule in enumerate(self.rules, 1)}

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
        """Returns it as the database keeps it."""
        return {
            "default": {"points": self.default.points, "per_minor": self.default.per_minor},
            "rules": [_stored_rule(rule) for rule in self.rules],
        }

    @classmethod
    def from_content(cls, set_id: int, content: Mapping[str, Any]) -> RuleSet:
        """Returns what the database keeps so. Raises ValueError for a kind of rule that is not known."""
        default = content["default"]
        rules = [_rule(stored) for stored in content["rules"]]
        return cls(set_id, Rate(default["points"], default["per_minor"]), rules)


def _stored_rule(rule: Rule) -> dict[str, Any]:
    kind, figures = to_stored(rule.effect)
    return {
        "id": str(rule.id),
        "name": rule.name,
        "kind": kind,
        "effect": figures,
        "priority": rule.priority,
        "starts_at": rule.starts_at.isoformat() if rule.starts_at else None,
        "ends_at": rule.ends_at.isoformat() if rule.ends_at else None,
    }


def _rule(stored: Mapping[str, Any]) -> Rule:
    return Rule(
        id=UUID(stored["id"]),
        name=stored["name"],
        effect=from_stored(stored["kind"], stored["effect"]),
        priority=stored["priority"],
        starts_at=datetime.fromisoformat(stored["starts_at"]) if stored["starts_at"] else None,
        ends_at=datetime.fromisoformat(stored["ends_at"]) if stored["ends_at"] else None,
    )
