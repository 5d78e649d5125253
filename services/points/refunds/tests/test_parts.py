"""Parts of a purchase that come back: whatever their order and size, they add up to the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import DomainError
from services.common.line_totals import usual_total
from services.points.earning import Item, Rate, RuleSet, Terms
from services.points.earning.kinds import Exclusion, Multiplier
from services.points.earning.terms import Rule
from services.points.purchases import SoldLine
from services.points.refunds.rules import Returned, afterwards, amount, due, returned

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOUBLE = Rule(UUID(int=1), "Double", Multiplier(250, ("dairy",)), 0, None, None)
NOTHING = Rule(UUID(int=2), "Nothing", Exclusion(("tobacco",)), 0, None, None)
PLAIN = RuleSet(1, Rate(1, 7), ()).at(NOW)
RULED = RuleSet(2, Rate(3, 10), (DOUBLE, NOTHING)).at(NOW)


def sold(number: int, price: int, pieces: int, milli: int, total: int | None, **fields: Any) -> SoldLine:
    """Returns a line of which nothing came back; a `total` of None is the usual one."""
    total = usual_total(price, pieces, milli) if total is None else total
    category, alcohol = fields.get("category", ""), fields.get("alcohol", False)
    item = Item("1", "Something", category, price, pieces, alcohol, milli, total)
    return SoldLine(number, item, item.milli)


@st.composite
def some_lines(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[SoldLine]:
    amounts: Any = st.one_of(
        st.tuples(st.integers(1, 5), st.just(0)),
        st.tuples(st.just(0), st.integers(1, 3_000)),
        st.tuples(st.just(0), st.sampled_from([1, 999, 1_000, 1_001, 100_000_000])),
    )
    totals = st.one_of(st.none(), st.integers(0, 500), st.just(10**11))
    return [
        sold(
            number,
            draw(st.integers(0, 300)),
            *draw(st.tuples(amounts, totals).map(lambda drawn: (*drawn[0], drawn[1]))),
            category=draw(st.sampled_from(["", "dairy", "tobacco"])),
            alcohol=draw(st.booleans()),
        )
        for number in range(1, draw(st.integers(1, 4)) + 1)
    ]


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
@given(some_lines(), st.sampled_from([PLAIN, RULED]), st.integers(0, 9), st.data())
def test_refunds_of_parts_add_up_to_what_was_paid_and_earned(
    lines: list[SoldLine], terms: Terms, bonus: int, data: st.DataObject
) -> None:
    earned = terms.judge(line.item for line in lines).points
    earned += bonus if earned else 0
    paid = sum(line.item.total_minor for line in lines)
    points = cost = 0
    while any(line.left for line in lines):
        back = returned(lines, data.draw(_some_of(lines)))
        after = afterwards(lines, back)
        took, was = due(terms, bonus, lines, after), amount(lines, after)
        assert took >= 0
        assert was >= 0
        points, cost, lines = points + took, cost + was, list(after)
    assert (points, cost) == (earned, paid)


@st.composite
def _some_of(draw: Callable[[st.SearchStrategy[Any]], Any], lines: Sequence[SoldLine]) -> list[Returned]:
    """Returns a part of some lines, or nothing for the rest."""
    wanted = []
    for line in lines:
        if line.left and draw(st.booleans()):
            unit = 1_000 if line.in_pieces else 1
            wanted.append(Returned.of(line, draw(st.integers(1, line.left // unit)) * unit))
    return wanted


def test_a_part_costs_what_the_share_of_the_total_grows_by() -> None:
    three_for_ten = [sold(1, 450, 3, 0, 1_000)]
    costs = []
    for _ in range(3):
        after = afterwards(three_for_ten, {1: 1_000})
        costs.append(amount(three_for_ten, after))
        three_for_ten = list(after)
    assert costs == [333, 333, 334]
    cheese = [sold(1, 1_999, 0, 345, None)]
    assert cheese[0].item.total_minor == 690, "0.345 of 19.99 is 6.89655"
    assert amount(cheese, afterwards(cheese, {1: 172})) == 344
    assert amount(afterwards(cheese, {1: 172}), afterwards(cheese, {1: 345})) == 346


def test_a_line_comes_back_in_the_unit_in_which_it_was_sold() -> None:
    pieces, weighed = sold(1, 100, 2, 0, None), sold(2, 100, 0, 2_000, None)
    lines = [pieces, weighed]
    assert returned(lines, [Returned(1, 2), Returned(2, 0, 345)]) == {1: 2_000, 2: 345}
    assert returned(lines, []) == {1: 2_000, 2: 2_000}
    for wrong, field in (
        (Returned(1, 0, 1_000), "lines[0].quantity_milli"),
        (Returned(2, 1), "lines[0].quantity"),
        (Returned(3, 1), "lines[0].line"),
    ):
        with pytest.raises(DomainError) as refused:
            returned(lines, [wrong])
        assert refused.value.reason == "VALIDATION_FAILED"
        assert [violation.field for violation in refused.value.fields] == [field]


def test_more_than_is_left_is_refused_and_told_as_it_was_sold() -> None:
    lines = [sold(1, 100, 2, 0, None), sold(2, 100, 0, 2_045, None)]
    lines = list(afterwards(lines, {1: 1_000, 2: 1_000}))
    for too_much, left in ((Returned(1, 2), "1"), (Returned(2, 0, 1_046), "1.045")):
        with pytest.raises(DomainError, match=f"there are {left} left") as refused:
            returned(lines, [too_much])
        assert refused.value.reason == "REFUND_EXCEEDS_PURCHASE"
        assert refused.value.metadata == {"line": str(too_much.line), "quantity_left": left}
