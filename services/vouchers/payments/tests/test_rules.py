"""Cards and discounts: what is decided without anybody being asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import DomainError
from services.vouchers.payments.cards import Card, checked_card
from services.vouchers.payments.discounts import AmountOff, PercentOff, discount_of
from services.vouchers.payments.sandbox import CARDS

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
GOOD = Card("4242 4242-4242 4242", 6, 2026, "123", " Ada ")


def test_a_good_card_is_read_without_what_people_put_between_the_digits() -> None:
    assert checked_card(GOOD, NOW) == Card("4242424242424242", 6, 2026, "123", "Ada")
    assert [checked_card(replace(GOOD, number=number), NOW).number for number in CARDS] == list(CARDS)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"number": "4242424242424241"}, "number"),
        ({"number": "42424242"}, "number"),
        ({"number": "4" * 20}, "number"),
        ({"number": "٤" * 16}, "number"),
        ({"number": ""}, "number"),
        ({"expiry_month": 0}, "expiry"),
        ({"expiry_month": 13}, "expiry"),
        ({"expiry_month": 5}, "expiry"),
        ({"expiry_year": 26}, "expiry"),
        ({"expiry_year": 9999}, "expiry"),
        ({"cvc": "12"}, "cvc"),
        ({"cvc": "12345"}, "cvc"),
        ({"cvc": "12a"}, "cvc"),
    ],
)
def test_what_is_wrong_with_a_card_is_named_and_never_shown(changed: dict[str, Any], field: str) -> None:
    card = replace(GOOD, **changed)
    with pytest.raises(DomainError) as refused:
        checked_card(card, NOW)
    assert (refused.value.reason, refused.value.metadata) == ("CARD_NOT_VALID", {"field": field})
    assert [one.field for one in refused.value.fields] == [f"card.{field}"]
    for part in (card.number, card.cvc):
        assert not part or part not in f"{refused.value!s} {refused.value.fields} {card!r} {card!s}"


def test_a_card_is_good_until_its_month_is_over_everywhere() -> None:
    checked_card(GOOD, datetime(2026, 7, 1, 11, 59, tzinfo=UTC))
    with pytest.raises(DomainError):
        checked_card(GOOD, datetime(2026, 7, 1, 12, tzinfo=UTC))


@given(st.integers(1, 10**11), st.integers(1, 20), st.integers(1, 100))
def test_percent_are_of_the_whole_order_to_the_nearest_minor_unit(price: int, pieces: int, off: int) -> None:
    taken = discount_of(PercentOff(off), price, pieces)
    assert taken == floor(Fraction(price * pieces * off, 100) + Fraction(1, 2))
    assert 0 <= taken <= price * pieces


@given(st.integers(1, 10**11), st.integers(1, 20), st.integers(1, 10**11))
def test_an_amount_is_taken_off_each_piece_and_never_more_than_it_costs(
    price: int, pieces: int, off: int
) -> None:
    taken = discount_of(AmountOff(off), price, pieces)
    assert taken == sum(min(off, price) for _ in range(pieces))


def test_yen_and_dinars_are_rounded_in_their_own_minor_units() -> None:
    assert discount_of(PercentOff(15), 150) == 23  # 22.5 yen
    assert discount_of(PercentOff(15), 1_010) == 152  # of 1.010 dinars: 0.1515
    assert discount_of(PercentOff(50), 1, 3) == 2  # not 3 times half a yen, rounded each
    assert discount_of(None, 1_000, 3) == 0
