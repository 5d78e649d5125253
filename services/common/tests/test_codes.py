"""One alphabet, and one reading of what people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.codes import ALPHABET, decode, encode, random_code, read_code


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0a1b 2c3d-4e5f", "0A1B2C3D4E5F"),
        ("oO iI lL", "001111"),
        ("  ab\tcd\n", "ABCD"),
        ("AB\u2010CD\u2013EF\u2014GH", "ABCDEFGH"),
        ("", ""),
        ("U*", "U*"),
    ],
)
def test_case_separators_and_look_alikes_do_not_matter(written: str, read: str) -> None:
    assert read_code(written) == read


@given(st.binary(max_size=40))
def test_what_was_encoded_can_be_decoded_and_typed(content: bytes) -> None:
    code = encode(content)
    assert set(code) <= set(ALPHABET)
    assert decode(code) == content
    assert read_code(code.lower().replace("0", "o").replace("1", "l")) == code


@pytest.mark.parametrize("wrong", ["I", "L2", "O0", "UU", "a0", "é0", "0", "000"])
def test_what_is_not_encoded_is_not_decoded(wrong: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what base64 says is not ours
        decode(wrong)


def test_random_codes_have_their_length_and_every_character_of_the_alphabet() -> None:
    codes = [random_code(12) for _ in range(1_000)]
    assert {len(code) for code in codes} == {12}
    assert len(set(codes)) == 1_000
    assert set("".join(codes)) == set(ALPHABET)
