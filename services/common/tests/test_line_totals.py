"""What a line costs."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from services.common.line_totals import usual_total


@given(st.integers(0, 10**10), st.integers(1, 10**8))
def test_a_fraction_costs_its_share_rounded_half_up(price: int, milli: int) -> None:
    exact = Fraction(price * milli, 1_000)
    assert usual_total(price, 0, milli) == floor(exact + Fraction(1, 2))
    assert usual_total(price, milli % 100_000 + 1, 0) == price * (milli % 100_000 + 1)
