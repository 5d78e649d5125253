"""What codes take off a basket: the stacking rule, and rounding, beside an independent model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import DomainError
from services.promos.baskets.discounts import Discount, Line, Offer, discounts, spread
from services.promos.benefits import AmountOff, Benefit, PercentOff

BASKETS = 10_000


def offer(off: AmountOff | PercentOff, number: int = 1, **conditions: object) -> Offer:
    """Returns a code with this id."""
    return Offer(UUID(int=number), Benefit(off, "USD", **conditions))  # type: ignore[arg-type]


def lines(*totals: int, category: str = "") -> list[Line]:
    """Returns lines of one category."""
    return [Line(category, total) for total in totals]


def taken(basket: Sequence[Line], *offers: Offer) -> list[tuple[int, list[int]] | str]:
    """Returns of each code, in their order here, its id's number and what it takes off lines, or why not."""
    found = discounts(basket, offers, alone=len(offers) == 1)
    return [_told(found[one.code_id]) for one in offers]


def _told(outcome: Discount | DomainError) -> tuple[int, list[int]] | str:
    if isinstance(outcome, DomainError):
        return outcome.reason
    return outcome.minor, list(outcome.of_lines)


def test_percent_are_rounded_once_half_up_and_spread_by_largest_remainder() -> None:
    # 10 % of 35 is 3.5, so 4: each line's share of it is 1.71…, 1.71…, 0.57…, of which 2 units are missing.
    assert taken(lines(15, 15, 5), offer(PercentOff(10))) == [(4, [2, 2, 0])]
    assert taken(lines(1, 1, 1), offer(PercentOff(50))) == [(2, [1, 1, 0])]
    assert taken(lines(4), offer(PercentOff(10))) == ["NOTHING_LEFT_TO_DISCOUNT"]
    assert taken(lines(5), offer(PercentOff(10))) == [(1, [1])]


def test_an_amount_never_takes_more_than_the_lines_cost() -> None:
    assert taken(lines(300, 100), offer(AmountOff(500))) == [(400, [300, 100])]
    assert taken(lines(300, 100), offer(AmountOff(100))) == [(100, [75, 25])]
    assert taken(lines(0, 0), offer(AmountOff(100))) == ["NOTHING_LEFT_TO_DISCOUNT"]


def test_percent_stop_at_their_cap() -> None:
    assert taken(lines(10_000), offer(PercentOff(30), maximum_discount=2_000)) == [(2_000, [2_000])]
    assert taken(lines(5_000), offer(PercentOff(30), maximum_discount=2_000)) == [(1_500, [1_500])]


def test_a_code_applies_to_its_categories_alone_whatever_their_letter_case() -> None:
    basket = [Line("Bakery", 1_000), Line("wine", 2_000), Line("BAKERY", 500), Line("", 700)]
    half_of_bakery = offer(PercentOff(50), categories=("bakery",))
    assert taken(basket, half_of_bakery) == [(750, [500, 0, 250, 0])]
    assert taken(basket, offer(PercentOff(50), categories=("toys",))) == ["NO_LINE_APPLIES"]


def test_minimum_spend_is_judged_on_the_lines_of_the_code_before_any_discount() -> None:
    basket = [Line("bakery", 1_000), Line("wine", 9_000)]
    bread = offer(AmountOff(100), 1, minimum_spend=1_001, categories=("bakery",))
    assert taken(basket, bread) == ["MINIMUM_SPEND_NOT_REACHED"]
    enough = offer(AmountOff(100), 1, minimum_spend=1_000, categories=("bakery",))
    assert taken(basket, enough) == [(100, [100, 0])]
    # The other code comes first and takes half of the bread; what counts is what it cost before.
    assert taken(basket, enough, offer(PercentOff(50), 2)) == [(100, [100, 0]), (5_000, [500, 4_500])]


def test_the_refusal_of_a_small_basket_says_what_is_missing() -> None:
    refusal = discounts(lines(900), [offer(AmountOff(100), minimum_spend=1_000)], alone=True)[UUID(int=1)]
    assert isinstance(refusal, DomainError)
    assert refusal.metadata == {
        "code_id": str(UUID(int=1)),
        "minimum_minor": "1000",
        "spent_minor": "900",
        "currency_code": "USD",
    }


def test_percent_come_before_amounts_and_the_largest_first_whatever_the_order_of_the_request() -> None:
    ten, twenty = offer(PercentOff(10), 1), offer(PercentOff(20), 2)
    small, large = offer(AmountOff(100), 3), offer(AmountOff(300), 4)
    given = [small, ten, large, twenty]
    found = discounts(lines(1_000), given, alone=False)
    assert list(found) == [twenty.code_id, ten.code_id, large.code_id, small.code_id]
    assert [_told(one) for one in found.values()] == [
        (200, [200]),
        (80, [80]),
        (300, [300]),
        (100, [100]),
    ]
    for _ in range(10):
        random.shuffle(given)
        assert discounts(lines(1_000), given, alone=False) == found


def test_equal_codes_are_computed_in_the_order_of_their_ids() -> None:
    first, second = offer(AmountOff(700), 1), offer(AmountOff(700), 2)
    assert taken(lines(1_000), second, first) == [(300, [300]), (700, [700])]


def test_a_code_for_which_nothing_is_left_does_not_apply() -> None:
    free = offer(PercentOff(100), 1)
    assert taken(lines(1_000), offer(AmountOff(1), 2), free) == ["NOTHING_LEFT_TO_DISCOUNT", (1_000, [1_000])]


def test_an_exclusive_code_applies_alone_and_leaves_the_basket_to_the_others() -> None:
    alone, usual = offer(PercentOff(50), 1, exclusive=True), offer(PercentOff(10), 2)
    assert taken(lines(1_000), alone) == [(500, [500])]
    assert taken(lines(1_000), alone, usual) == ["CODE_NOT_COMBINABLE", (100, [100])]
    # Also when the other one can not be redeemed, and so is not among the offers.
    found = discounts(lines(1_000), [alone], alone=False)[alone.code_id]
    assert _told(found) == "CODE_NOT_COMBINABLE"


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=50), st.data())
def test_parts_add_up_to_the_amount_and_none_exceeds_its_line(
    weights: list[int], data: st.DataObject
) -> None:
    if not sum(weights):
        weights[0] = 1
    amount = data.draw(st.integers(1, sum(weights)))
    parts = spread(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(amount * weight, sum(weights))
        assert 0 <= part <= weight
        assert abs(part - exact) < 1


# The model: written from the contract's words, with fractions, and nothing of the code.


def model(basket: Sequence[Line], offers: Sequence[Offer]) -> dict[UUID, list[int] | str]:
    """Returns what each code takes off the lines, or the reason why it does not apply."""
    percents = [one for one in offers if isinstance(one.benefit.off, PercentOff)]
    amounts = [one for one in offers if isinstance(one.benefit.off, AmountOff)]
    percents.sort(key=lambda one: one.code_id.int)
    percents.sort(key=lambda one: one.benefit.off.percent, reverse=True)  # type: ignore[union-attr]
    amounts.sort(key=lambda one: one.code_id.int)
    amounts.sort(key=lambda one: one.benefit.off.minor, reverse=True)  # type: ignore[union-attr]
    prices = [Fraction(line.total_minor) for line in basket]
    told: dict[UUID, list[int] | str] = {}
    for one in percents + amounts:
        off = _modelled(basket, prices, one, others=len(offers) - 1)
        told[one.code_id] = off
        if not isinstance(off, str):
            prices = [price - part for price, part in zip(prices, off, strict=True)]
    return told


def _modelled(
    basket: Sequence[Line], prices: Sequence[Fraction], one: Offer, *, others: int
) -> list[int] | str:
    benefit = one.benefit
    mine = [
        not benefit.categories or line.category.lower() in [name.lower() for name in benefit.categories]
        for line in basket
    ]
    if benefit.exclusive and others:
        return "CODE_NOT_COMBINABLE"
    if True not in mine:
        return "NO_LINE_APPLIES"
    before = sum(line.total_minor for line, yes in zip(basket, mine, strict=True) if yes)
    if benefit.minimum_spend and before < benefit.minimum_spend:
        return "MINIMUM_SPEND_NOT_REACHED"
    base = sum((price for price, yes in zip(prices, mine, strict=True) if yes), Fraction())
    if isinstance(benefit.off, PercentOff):
        exact = base * Fraction(benefit.off.percent, 100)
        whole = floor(exact + Fraction(1, 2))
        whole = min(whole, benefit.maximum_discount or whole)
    else:
        whole = min(benefit.off.minor, int(base))
    return _shared(whole, [price if yes else Fraction() for price, yes in zip(prices, mine, strict=True)])


def _shared(whole: int, prices: Sequence[Fraction]) -> list[int] | str:
    if whole == 0:
        return "NOTHING_LEFT_TO_DISCOUNT"
    each = Fraction(whole) / sum(prices)
    exact = [each * price for price in prices]
    parts = [floor(share) for share in exact]
    while sum(parts) < whole:  # the one that is furthest below its share gets a unit
        behind = [share - part for share, part in zip(exact, parts, strict=True)]
        parts[behind.index(max(behind))] += 1
    return parts


CATEGORIES = ("", "bakery", "wine", "Dairy")


def random_basket(lots: random.Random) -> tuple[list[Line], list[Offer]]:
    """Returns a basket of 1 to 20 lines and 1 to 5 codes; prices like those of JPY, USD and KWD."""
    largest = lots.choice([20, 500, 30_000, 2_000_000, 10**10])
    basket = [
        Line(lots.choice(CATEGORIES), lots.choice([0, 1, lots.randint(0, largest), lots.randint(0, largest)]))
        for _ in range(lots.randint(1, 20))
    ]
    return basket, [
        _random_offer(lots, number, largest) for number in lots.sample(range(100), lots.randint(1, 5))
    ]


def _random_offer(lots: random.Random, number: int, largest: int) -> Offer:
    percent = lots.random() < 0.6
    off = (
        PercentOff(lots.choice([1, 10, 33, 50, 99, 100, lots.randint(1, 100)]))
        if percent
        else AmountOff(lots.choice([1, 500, lots.randint(1, 2 * largest)]))
    )
    return offer(
        off,
        number,
        minimum_spend=lots.choice([None, None, lots.randint(1, 5 * largest)]),
        maximum_discount=lots.choice([None, lots.randint(1, largest)]) if percent else None,
        categories=tuple(lots.sample(["BAKERY", "wine", "dairy"], lots.choice([0, 0, 1, 2]))),
        exclusive=lots.random() < 0.1,
    )


@pytest.mark.covers("C5 BasketService.QuoteBasket")
def test_ten_thousand_baskets_are_as_the_model_has_them_to_the_minor_unit() -> None:
    lots = random.Random(5)
    applied = 0
    for _ in range(BASKETS):
        basket, offers = random_basket(lots)
        found = discounts(basket, offers, alone=len(offers) == 1)
        told = {
            code_id: one.reason if isinstance(one, DomainError) else list(one.of_lines)
            for code_id, one in found.items()
        }
        assert told == model(basket, offers)
        off = [one for one in found.values() if isinstance(one, Discount)]
        for place, line in enumerate(basket):
            assert 0 <= sum(one.of_lines[place] for one in off) <= line.total_minor
        applied += len(off)
    assert applied > BASKETS  # most codes do apply, or this would prove little
