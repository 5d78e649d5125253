"""What rules make of a receipt, judged beside the plainest reading of the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.points.earning.applied import Applied
from services.points.earning.dry_run import explain
from services.points.earning.kinds import BaseRate, Rate, describe, from_stored, to_stored
from services.points.earning.rule_sets import RuleSet
from services.points.earning.terms import Item, Judged, Rule

BASE_RATE, EXCLUSION, MULTIPLIER, BONUS = "BASE_RATE", "EXCLUSION", "MULTIPLIER", "FIRST_PURCHASE_BONUS"
DEFAULT = Rate(1, 1_000)
DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
CATEGORIES = ("", "dairy", "Dairy", "DAIRY", "tobacco", "straße", "STRASSE", "Straße")


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def rule(kind: str = MULTIPLIER, **fields: Any) -> Rule:
    """Returns a rule; its effect's parts are given beside the other fields."""
    return Rule(
        UUID(int=fields.pop("number", 1)),
        fields.pop("name", kind.lower()),
        starts_at=fields.pop("starts_at", None),
        ends_at=fields.pop("ends_at", None),
        priority=fields.pop("priority", 0),
        effect=from_stored(kind, {"categories": [], **fields}),
    )


def item(category: str = "bakery", price: int = 1_000, quantity: int = 1, *, alcohol: bool = False) -> Item:
    return Item("4711", "Something", category, price, quantity, alcohol, 0, price * quantity)


def points(*items: Item, rules: Sequence[Rule] = (), at: datetime = DAY_0) -> int:
    return RuleSet(1, DEFAULT, rules).at(at).judge(items).points


amounts = st.integers(1, 10)
named = st.lists(st.sampled_from(CATEGORIES[1:]), max_size=3, unique=True)
effects = st.one_of(
    st.tuples(st.just(BASE_RATE), st.fixed_dictionaries({"points": amounts, "per_minor": amounts})),
    st.tuples(st.just(EXCLUSION), st.fixed_dictionaries({"categories": named.filter(bool)})),
    st.tuples(
        st.just(MULTIPLIER),
        st.fixed_dictionaries({"percent": st.integers(1, 300), "categories": named}),
    ),
    st.tuples(st.just(BONUS), st.fixed_dictionaries({"points": amounts})),
)
days = st.one_of(st.none(), st.integers(0, 5).map(day))


@st.composite
def some_rule(draw: Callable[[st.SearchStrategy[Any]], Any], number: int) -> Rule:
    kind, effect = draw(effects)
    ends = sorted([draw(days), draw(days)], key=lambda moment: moment or DAY_0)
    starts_at, ends_at = ends if ends[0] != ends[1] else (None, None)
    made = from_stored(kind, effect)
    return Rule(UUID(int=number), f"r{number}", made, draw(st.integers(-1, 1)), starts_at, ends_at)


@st.composite
def some_set(draw: Callable[[st.SearchStrategy[Any]], Any]) -> RuleSet:
    numbers = draw(st.lists(st.integers(0, 50), max_size=8, unique=True))
    return RuleSet(7, DEFAULT, [draw(some_rule(number)) for number in numbers])


rule_sets = some_set()
receipts = st.lists(
    st.builds(
        item,
        st.sampled_from(CATEGORIES),
        st.integers(0, 5_000),
        st.integers(1, 4),
        alcohol=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
moments = st.one_of(st.integers(-1, 6).map(day), st.floats(-1, 6).map(day))


def kind_of(each: Rule) -> str:
    return to_stored(each.effect)[0]


def figures(each: Rule) -> dict[str, Any]:
    return to_stored(each.effect)[1]


def naive(rules: RuleSet, items: Sequence[Item], moment: datetime) -> tuple[Judged, list[int], int]:
    """By the words of the contract, for one moment: what is judged, each line's percent, and the bonus."""
    holding = [
        each
        for each in rules.rules
        if (each.starts_at is None or moment >= each.starts_at)
        and (each.ends_at is None or moment < each.ends_at)
    ]

    def highest(kind: str, category: str | None = None) -> Rule | None:
        found = [each for each in holding if kind_of(each) == kind]
        if category is not None:
            found = [each for each in found if matches(each, category)]
        return max(found, key=lambda each: (each.priority, each.id.int), default=None)

    def matches(each: Rule, category: str) -> bool:
        names = figures(each)["categories"]
        return category.casefold() in [name.casefold() for name in names] or (
            kind_of(each) == MULTIPLIER and not names
        )

    percents = []
    for one in items:
        multiplier = highest(MULTIPLIER, one.category)
        percent = figures(multiplier)["percent"] if multiplier else 100
        percents.append(0 if one.alcohol or highest(EXCLUSION, one.category) else percent)
    prices = [one.unit_price_minor * one.quantity for one in items]
    counted = sum(Fraction(price * percent, 100) for price, percent in zip(prices, percents, strict=True))
    rate, bonus = highest(BASE_RATE), highest(BONUS)
    of_rate = figures(rate) if rate else {"points": DEFAULT.points, "per_minor": DEFAULT.per_minor}
    eligible = sum(price for price, percent in zip(prices, percents, strict=True) if percent)
    earned = floor(counted / of_rate["per_minor"]) * of_rate["points"]
    return Judged(sum(prices), eligible, earned), percents, figures(bonus)["points"] if bonus else 0


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
@given(rule_sets, receipts, moments)
def test_a_receipt_is_judged_as_the_contract_says(
    rules: RuleSet, items: Sequence[Item], moment: datetime
) -> None:
    judged, percents, bonus = naive(rules, items, moment)
    for _ in range(2):  # the second time by what was looked up
        terms = rules.at(moment)
        assert terms.judge(items) == judged
        assert [terms.counted(one).percent for one in items] == percents
        assert terms.bonus == bonus


@given(rule_sets, receipts, moments, st.data())
def test_taking_lines_away_never_raises_what_is_earned(
    rules: RuleSet, items: Sequence[Item], moment: datetime, data: st.DataObject
) -> None:
    terms = rules.at(moment)
    before = terms.judge(items).points
    left = list(items)
    while left:
        place = data.draw(st.integers(0, len(left) - 1))
        less = data.draw(st.integers(0, max(left[place].total_minor - 1, 0)))
        left[place : place + 1] = [left[place]._replace(total_minor=less)] if less else []
        after = terms.judge(left).points
        assert 0 <= after <= before
        before = after
    assert before == 0


@given(rule_sets, receipts, moments)
def test_rules_come_back_from_their_content_as_they_were(
    rules: RuleSet, items: Sequence[Item], moment: datetime
) -> None:
    kept = RuleSet.from_content(rules.id, orjson.loads(orjson.dumps(rules.content())))
    assert kept == rules
    assert kept.content() == rules.content()
    assert kept.at(moment).judge(items) == rules.at(moment).judge(items)


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
@given(rule_sets, receipts, moments, st.booleans())
def test_a_dry_run_explains_what_is_earned(
    rules: RuleSet, items: Sequence[Item], moment: datetime, first: bool
) -> None:
    judged, percents, bonus = naive(rules, items, moment)
    explained = explain(rules.at(moment), items, first_purchase=first)
    assert explained.judged == judged
    assert explained.bonus == (bonus if first and judged.points else 0)
    assert [line.counted.percent for line in explained.lines] == percents
    assert sum(line.amount_minor for line in explained.lines) == judged.total_minor
    assert sum(line.amount_minor for line in explained.lines if line.counted.percent) == judged.eligible_minor
    names = {f"r{rule.id.int}" for rule in rules.rules}
    assert {applied.name for applied in explained.applied} <= names | {""}
    told = {applied.rule_id for applied in explained.applied}
    for line, one in zip(explained.lines, items, strict=True):
        assert line.alcohol == one.alcohol
        assert line.counted.rule is None or line.counted.rule.id in told
        assert line.alcohol or line.counted.rule or line.counted.percent == 100


def test_without_rules_a_point_is_earned_per_full_ten() -> None:
    assert points(item(price=9_999)) == 9
    assert points(item(price=999), item(price=1)) == 1, "rounded once, at the end"
    assert points(item(price=5_000, alcohol=True), item(price=1_000)) == 1
    assert points(item(price=0)) == 0


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
def test_alcohol_earns_nothing_whatever_a_rule_says() -> None:
    everything = rule(percent=10_000, priority=1_000_000)
    wine = rule(percent=10_000, categories=["wine"], number=2)
    assert points(item("wine", alcohol=True), rules=[everything, wine]) == 0
    assert points(item("wine"), rules=[everything, wine]) == 100


def test_an_exclusion_beats_every_multiplier() -> None:
    excluded = rule(EXCLUSION, categories=["tobacco"], priority=-1_000_000, number=1)
    doubled = rule(percent=200, categories=["Tobacco"], priority=1_000_000, number=2)
    for rules in ([excluded, doubled], [doubled, excluded]):
        assert points(item("TOBACCO", 10_000), item("bread", 1_000), rules=rules) == 1


@pytest.mark.covers("P3 PurchaseService.RecordPurchase")
def test_of_several_multipliers_the_highest_priority_holds_then_the_newest() -> None:
    old = rule(percent=200, categories=["dairy"], number=1)
    new = rule(percent=300, categories=["dairy"], number=2)
    assert points(item("dairy"), rules=[new, old]) == 3
    assert points(item("dairy"), rules=[new, rule(percent=200, priority=1)]) == 2
    everything = rule(percent=500, priority=1, number=3)
    assert points(item("dairy"), rules=[new, old, everything]) == 5
    assert points(item("bread"), rules=[new, old, everything]) == 5
    assert points(item("dairy"), item("bread"), rules=[new, rule(percent=500, priority=-1)]) == 3 + 5


def test_letter_case_of_categories_does_not_matter() -> None:
    doubled = rule(percent=200, categories=["Straße"])
    for category in ("straße", "STRASSE", "Strasse", "STRAßE"):
        assert points(item(category), rules=[doubled]) == 2
    assert points(item("stra"), rules=[doubled]) == 1
    assert points(item(""), rules=[doubled]) == 1


def test_a_window_begins_with_its_start_and_ends_before_its_end() -> None:
    doubled = rule(percent=200, starts_at=day(1), ends_at=day(2))
    tick = timedelta(microseconds=1)
    found = [points(item(), rules=[doubled], at=at) for at in (day(1) - tick, day(1), day(2) - tick, day(2))]
    assert found == [1, 2, 2, 1]


def test_windows_may_overlap_touch_and_lie_in_each_other() -> None:
    rules = [
        rule(percent=200, starts_at=day(1), ends_at=day(4), number=1),
        rule(percent=300, starts_at=day(2), ends_at=day(3), number=2),
        rule(percent=500, starts_at=day(4), number=3),
        rule(percent=700, ends_at=day(0), number=4),
    ]
    found = [points(item(), rules=rules, at=day(n + 0.5)) for n in (-1, 0, 1, 2, 3, 4)]
    assert found == [7, 1, 2, 3, 2, 5]


def test_the_rate_and_the_bonus_of_the_highest_priority_hold() -> None:
    rules = [
        rule(BASE_RATE, points=2, per_minor=1_000, number=1),
        rule(BASE_RATE, points=5, per_minor=1_000, priority=-1, number=2),
        rule(BONUS, points=100, number=3),
        rule(BONUS, points=50, number=4),
    ]
    terms = RuleSet(1, DEFAULT, rules).at(DAY_0)
    assert (terms.rate, terms.bonus) == (Rate(2, 1_000), 50)
    assert points(item(price=2_999), rules=rules) == 4, "points come in full amounts"


def test_fractions_of_lines_add_up_before_the_receipt_is_rounded() -> None:
    half = rule(percent=50, categories=["dairy"])
    assert points(item("dairy", 999), item("dairy", 1), item("bread", 500), rules=[half]) == 1
    assert points(item("dairy", 999), item("bread", 500), rules=[half]) == 0


def test_numbers_beyond_any_receipt_stay_exact() -> None:
    huge = item(price=10_000_000_000, quantity=100_000)
    judged = RuleSet(1, Rate(1_000_000, 1), [rule(percent=10_000)]).at(DAY_0).judge([huge] * 500)
    assert judged == Judged(5 * 10**17, 5 * 10**17, 5 * 10**25)


@dataclass(frozen=True)
class Kept:
    """What a purchase keeps of how it was judged."""

    line_rules: Sequence[int] | None = None
    earn_rule: str | None = None
    bonus: int = 0
    rule_set_id: int = 1
    sold_at: datetime = DAY_0


def test_a_purchase_tells_what_judged_its_lines_and_nothing_else() -> None:
    dairy = rule(percent=200, categories=["dairy"], name="Dairy week", number=1)
    sweets = rule(percent=50, categories=["sweets"], name="Less sugar", number=2)
    tobacco = rule(EXCLUSION, categories=["tobacco"], name="No smoking", number=3)
    welcome = rule(BONUS, points=50, name="Welcome", number=4)
    rules = RuleSet(1, DEFAULT, [dairy, sweets, tobacco, welcome])
    plain = Applied(None, "", BaseRate(DEFAULT))
    held = rules.at(DAY_0).line_rules(
        [item("dairy"), item("DAIRY"), item("tobacco"), item("sweets", alcohol=True)]
    )
    assert held == [tobacco, dairy], "the highest first"
    assert rules.places(held) == (3, 1)
    assert rules.applied(Kept()).rules == [plain]
    assert [one.name for one in rules.applied(Kept(line_rules=[3, 1])).rules] == [
        "",
        "No smoking",
        "Dairy week",
    ]
    assert rules.applied(Kept(line_rules=[3])).rules[1] == Applied(tobacco.id, "No smoking", tobacco.effect)
    assert rules.applied(Kept(bonus=50)).rules == [plain, Applied(welcome.id, "Welcome", welcome.effect)]
    own = rule(BASE_RATE, points=3, per_minor=500, name="Base of spring", number=9)
    told = RuleSet(1, DEFAULT, [own]).applied(Kept()).rules
    assert told == [Applied(own.id, "Base of spring", BaseRate(Rate(3, 500)))]


def test_purchases_of_before_tell_their_rules_by_the_words_that_they_keep() -> None:
    rules = RuleSet(
        1,
        DEFAULT,
        [
            rule(percent=200, name="Dairy", number=1),
            rule(percent=200, name="Dairy week", number=2),
            rule(percent=20, name="Dairy week", number=3),
            rule(EXCLUSION, categories=["x"], name="Odd; name", number=4),
            rule(EXCLUSION, categories=["y"], name="name", number=5),
            rule(percent=300, name="Over", ends_at=day(-1), number=6),
        ],
    )

    def told(words: str) -> list[int]:
        return [one.rule_id.int for one in rules.applied(Kept(earn_rule=words)).rules if one.rule_id]

    assert told("1 per 1000 minor units") == []
    assert told("1 per 1000 minor units; 200 % by Dairy week") == [2]
    assert told("1 per 1000 minor units; 200 % by Dairy; none by Odd; name") == [4, 1]
    assert told("1 per 1000 minor units; 300 % by Over; and 191 more") == []


def test_the_rules_of_a_purchase_stay_few() -> None:
    many = [rule(percent=n, categories=[f"c{n}"], number=n) for n in range(1, 201)]
    rules = RuleSet(1, DEFAULT, many)
    held = rules.at(DAY_0).line_rules([item(f"c{n}") for n in range(1, 201)])
    assert len(held) == 200
    assert rules.places(held) == tuple(range(200, 180, -1))
    huge = rule(EXCLUSION, categories=[f"{n:064}" for n in range(200)])
    assert len(describe(huge.effect)) < 1_000


def test_a_kind_that_is_not_known_is_refused_where_it_is_read() -> None:
    content = RuleSet(1, DEFAULT, [rule(BONUS, points=50)]).content()
    content["rules"][0]["kind"] = "LOTTERY"
    with pytest.raises(ValueError, match="LOTTERY"):
        RuleSet.from_content(1, content)


def test_a_dry_run_says_why() -> None:
    rules = [
        rule(percent=200, categories=["dairy"], name="Dairy week", number=1),
        rule(EXCLUSION, categories=["tobacco"], name="Tobacco", number=2),
        rule(BONUS, points=50, name="Welcome", number=3),
    ]
    items = [item("dairy"), item("dairy"), item("tobacco"), item("wine", alcohol=True), item("bread")]
    explained = explain(RuleSet(1, DEFAULT, rules).at(DAY_0), items, first_purchase=True)
    assert (explained.judged.points, explained.bonus) == (5, 50)
    told = [
        (line.alcohol, line.counted.percent, line.counted.rule and line.counted.rule.name)
        for line in explained.lines
    ]
    assert told == [
        (False, 200, "Dairy week"),
        (False, 200, "Dairy week"),
        (False, 0, "Tobacco"),
        (True, 0, None),
        (False, 100, None),
    ]
    assert [(applied.name, describe(applied.effect)) for applied in explained.applied] == [
        ("", "1 per 1000 minor units"),
        ("Tobacco", "none for tobacco"),
        ("Dairy week", "200 % for dairy"),
        ("Welcome", "50 points for the first purchase"),
    ]
    nothing = explain(RuleSet(1, DEFAULT, rules).at(DAY_0), [item(price=1)], first_purchase=True)
    assert (nothing.judged.points, nothing.bonus, len(nothing.applied)) == (0, 0, 1)


@pytest.mark.parametrize("at", [day(0), day(1), day(5)])
def test_terms_are_made_once_and_not_for_every_receipt(at: datetime) -> None:
    rules = RuleSet(1, DEFAULT, [rule(percent=200, starts_at=day(1), ends_at=day(2))])
    assert rules.at(at) is rules.at(at + timedelta(seconds=1))


def test_what_a_set_keeps_ready_is_bounded() -> None:
    rules = [
        rule(percent=200, starts_at=day(n), ends_at=day(n + 1), categories=["c7"], number=n + 1)
        for n in range(300)
    ]
    many = RuleSet(1, DEFAULT, rules)
    assert many.size == 1 + 300 * 2
    for n in range(300):
        assert points(item("c7"), rules=rules, at=day(n)) == 2
        assert many.at(day(n)).judge([item("c7"), item("c8")]).points == 3
    assert len(many._terms) <= 64
    terms = many.at(day(0))
    for n in range(5_000):
        assert terms.counted(item(f"c{n}")).percent == (200 if n == 7 else 100)
    assert len(terms._by_category) <= 1_000
