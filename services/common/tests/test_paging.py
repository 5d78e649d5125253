"""Tokens of pages: they lead on where they were made, and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.errors import DomainError
from services.common.paging import DEFAULT_SIZE, Page

SCOPE = ("audit", [("action", "till.created")])
PARSERS: Sequence[Callable[[str], object]] = (str, int, UUID)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def token_after(position: object, *scope: object) -> str:
    """Returns the token of a page that ends with this row."""
    _, token = Page(1, "", *scope).cut([position, "one more"], lambda row: row)
    return token


def encoded(value: object) -> str:
    """Any JSON, wrapped as tokens are."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def scope_of(token: str) -> str:
    """Returns the mark of the list that a token belongs to."""
    decoded = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return str(decoded[0])


def judged(token: str, parse: Callable[[str], object]) -> str:
    """Returns the reason with which a token is refused; an empty text when it is taken."""
    try:
        Page(10, token, *SCOPE).after(parse)
    except DomainError as error:
        return error.reason
    return ""


def test_the_first_page_begins_nowhere_and_has_the_default_size() -> None:
    page = Page(0, "", *SCOPE)
    assert (page.first, page.after(int), page.size) == (True, None, DEFAULT_SIZE)


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_a_page_that_holds_all_is_the_last(count: int) -> None:
    rows, token = Page(10, "", *SCOPE).cut(list(range(count)), lambda row: row)
    assert (list(rows), token) == (list(range(count)), "")


def test_the_row_beyond_the_page_makes_a_token_of_the_last_one_on_it() -> None:
    rows, token = Page(10, "", *SCOPE).cut(list(range(11)), lambda row: row)
    assert list(rows) == list(range(10))
    following = Page(10, token, *SCOPE)
    assert (following.first, following.after(int)) == (False, 9)


@given(st.text().filter(lambda text: "\0" not in text))
def test_any_text_may_be_a_position(position: str) -> None:
    with suppress(UnicodeEncodeError):  # half a surrogate pair is no text
        position.encode()
        assert Page(10, token_after(position, *SCOPE), *SCOPE).after(str) == position


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_number_of_the_database_may_be_a_position(position: int) -> None:
    assert Page(10, token_after(position, *SCOPE), *SCOPE).after(int) == position


@given(st.uuids())
def test_any_id_may_be_a_position(position: UUID) -> None:
    assert Page(10, token_after(position, *SCOPE), *SCOPE).after(UUID) == position


@pytest.mark.parametrize(
    "other",
    [
        ("audit",),
        ("clients", SCOPE[1]),
        ("audit", [("action", "till.removed")]),
        ("audit", SCOPE[1], "x"),
        (),
    ],
)
def test_a_token_of_another_list_or_filter_is_refused(other: tuple[object, ...]) -> None:
    assert judged(token_after("x", *other), str) == "PAGE_TOKEN_NOT_VALID"


@given(st.text(min_size=1))
@example("\ud800")
@example("é")
@example("=")
@example("W10")
@example("bnVsbA")
def test_arbitrary_texts_are_refused_and_nothing_else(token: str) -> None:
    for parse in PARSERS:
        assert judged(token, parse) == "PAGE_TOKEN_NOT_VALID"


@given(st.binary(min_size=1))
def test_arbitrary_bytes_in_the_right_wrapping_are_refused(content: bytes) -> None:
    token = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    for parse in PARSERS:
        assert judged(token, parse) == "PAGE_TOKEN_NOT_VALID"


@given(json_values)
def test_arbitrary_json_in_the_right_wrapping_is_refused(value: object) -> None:
    for parse in PARSERS:
        assert judged(encoded(value), parse) == "PAGE_TOKEN_NOT_VALID"


@given(json_values)
@example("\0")
@example(str(2**63))
@example("-" + "9" * 30)
@example("9" * 5000)
def test_arbitrary_positions_of_the_right_list_are_parsed_or_refused(position: object) -> None:
    token = encoded([scope_of(token_after("x", *SCOPE)), position])
    for parse in PARSERS:
        assert judged(token, parse) in ("", "PAGE_TOKEN_NOT_VALID")


@pytest.mark.parametrize("position", ["\0", "a\0b"])
def test_positions_that_no_database_can_hold_are_refused(position: str) -> None:
    token = encoded([scope_of(token_after("x", *SCOPE)), position])
    assert judged(token, str) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize("position", [2**63, -(2**63) - 1, 10**40])
def test_numbers_that_no_database_can_hold_are_refused(position: int) -> None:
    token = encoded([scope_of(token_after("x", *SCOPE)), str(position)])
    assert judged(token, int) == "PAGE_TOKEN_NOT_VALID"


@given(st.integers(0), st.sampled_from("ABCxyz019-_"))
def test_a_token_with_one_other_character_leads_to_no_other_list(at: int, character: str) -> None:
    good = token_after("till 7", *SCOPE)
    at %= len(good)
    changed = good[:at] + character + good[at + 1 :]
    # What is left of the scope is whole, or the token is refused.
    if judged(changed, str) == "":
        assert scope_of(changed) == scope_of(good)
