"""What patterns stand for, and how many codes they allow."""

from __future__ import annotations

import math
import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.codes import ALPHABET, read_code
from services.common.errors import DomainError
from services.promos.codes.patterns import DEFAULT, display_code, read_pattern
from services.promos.codes.random_codes import new_codes

PATTERNS = st.text("#@*-ABOIZabu019", min_size=1, max_size=64).filter(lambda text: set(text) & set("#@*"))


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
def test_six_digits_and_five_letters_are_what_comes_out() -> None:
    pattern = read_pattern("######@@@@@")
    codes = new_codes(2_000, pattern)
    assert all(re.fullmatch(r"[0-9]{6}[A-HJKMNP-TV-Z]{5}", code) for code in codes)
    assert pattern.possible_codes == 10**6 * 22**5
    for place in range(6):
        assert {code[place] for code in codes} == set("0123456789")


@given(PATTERNS)
def test_codes_of_any_pattern_are_stored_as_they_are_read_however_they_are_shown(text: str) -> None:
    pattern = read_pattern(text)
    for code in new_codes(3, pattern):
        assert read_code(code) == code
        shown = display_code(code, pattern.text)
        assert read_code(shown) == read_code(shown.lower()) == code
        assert len(code) == len(pattern.places)
        assert all(map(str.__contains__, pattern.places, code))


@pytest.mark.parametrize(
    ("pattern", "code", "shown"),
    [
        (None, "ABCD0123WXYZ", "ABCD-0123-WXYZ"),
        ("SOMMER-####", "S0MMER1234", "SOMMER-1234"),
        ("hello-##", "HE11042", "HELLO-42"),
        ("#-@-*", "1AZ", "1-A-Z"),
        ("SOMMER-####", "IMPORTED99", "IMPORTED99"),
        (None, "IMPORTED", "IMPORTED"),
    ],
)
def test_codes_are_shown_as_people_read_them(pattern: str | None, code: str, shown: str) -> None:
    assert display_code(code, pattern and read_pattern(pattern).text) == shown


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", "SUMMER", "A" * 64, "#" * 65, "##\n##", "#_#", "# #", "é#", "#\0", "#/#", "\u0661#"],
)
def test_patterns_that_no_codes_can_be_made_of_are_refused(text: str) -> None:
    with pytest.raises(DomainError, match="pattern: must"):
        read_pattern(text)


@pytest.mark.parametrize("mark", ["#", "@", "*"])
def test_each_character_is_as_likely_as_any_other(mark: str) -> None:
    count = 44_000
    pattern = read_pattern(mark * 2)
    for place in range(2):
        found = Counter(code[place] for code in new_codes(count, pattern))
        expected = count / len(pattern.places[place])
        assert set(found) == set(pattern.places[place]) <= set(ALPHABET)
        # Ten standard deviations: once in more runs than there will ever be.
        assert all(abs(seen - expected) < 10 * math.sqrt(expected) for seen in found.values())


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("####", "####", 1),
        ("####", "#####", 0),
        ("####", "****", Fraction(10**4, 32**4)),
        ("****", "####", 1),
        ("####", "@@@@", 0),
        ("A###", "B###", 0),
        ("O###", "0###", 1),
        ("A-##", "*##", Fraction(1, 32)),
    ],
)
def test_patterns_share_the_codes_that_both_allow(one: str, other: str, share: Fraction) -> None:
    assert read_pattern(one).share_of(read_pattern(other)) == share


def test_without_a_pattern_codes_have_sixty_random_bits() -> None:
    assert DEFAULT.possible_codes == 2**60
