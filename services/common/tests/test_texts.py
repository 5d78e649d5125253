"""Which texts people can be shown: names in all scripts, nothing that nobody sees or that turns the line."""

from __future__ import annotations

import pytest

from services.common import texts
from services.common.encoding import read_name, read_optional_text, read_text
from services.common.errors import DomainError

# ruff: noqa: RUF001  # letters of other scripts look like others; that is what this is about
SHOWN = [
    "Ada Lovelace",
    "José Ñandú-O\u2019Neill",
    "Jose\u0301",  # an accent of its own
    "Nguyễn Thị Ánh",
    "Ивáн",
    "Ελένη",
    "中村 葛\U000e0100城",  # with a variant that a family's name needs
    "김민준",
    "محمد",
    "نام\u200cخانوادگی",  # Persian, with the joiner's opposite between its parts
    "مِي\u200cخواهم",  # with a vowel before it
    "क्\u200dष",  # a Hindi half letter
    "ශ්\u200dරී",
    "น้ำ",
    "שָׁלוֹם",
    "മലയാളം",
    "Till 1 (north) & 2",
    "50 % off – today!",
    "Ice cream 🍦",
    "Families 👨\u200d👩\u200d👧\u200d👦",
    "👩🏽\u200d🚀",
    "🏳\ufe0f\u200d🌈",
    "❤\ufe0f 1\ufe0f⃣",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "R²",
]
UNSEEN = {
    "tab": "Till\t1",
    "line": "Till\n1",
    "escape": "\x1b[31mTill",
    "nul": "a\0b",
    "delete": "a\x7f",
    "c1": "a\x85b",
    "line separator": "a\u2028b",
    "left to right": "a\u200eb",
    "right to left override": "Till \u202e1",
    "isolate": "a\u2066b\u2069",
    "arabic mark": "a\u061cb",
    "zero width space": "Ad\u200ba",
    "word joiner": "Ad\u2060a",
    "byte order mark": "\ufeffAda",
    "soft hyphen": "Ad\u00ada",
    "joiner between latin letters": "Ad\u200da",
    "non-joiner between latin letters": "Ad\u200ca",
    "joiner at the end": "Ada\u200d",
    "joiner at the start": "\u200dAda",
    "two joiners": "ن\u200c\u200cن",
    "joiner after an emoji": "🍦\u200da",
    "selector on a latin letter": "a\ufe0f",
    "selector alone": "\ufe0fa",
    "tags": "Ada\U000e0041\U000e0042",
    "filler": "\u3164",
    "braille blank": "\u2800",
    "grapheme joiner": "a\u034fb",
    "private use": "\ue000",
    "no character": "\ufffe",
    "a mark alone": "\u0301a",
    "many marks": "a" + "\u0301" * 10,
}


@pytest.mark.parametrize("text", SHOWN)
def test_names_of_all_scripts_are_taken(text: str) -> None:
    assert texts.fault(text) is None
    assert read_text(text, "title") == text
    assert read_name(text, "full_name") == texts.on_one_line(text)


@pytest.mark.parametrize("what", UNSEEN)
def test_what_nobody_sees_is_refused_with_the_field(what: str) -> None:
    for read in (read_text, read_name):
        with pytest.raises(DomainError) as caught:
            read(UNSEEN[what], "full_name")
        assert caught.value.reason == "VALIDATION_FAILED"
        assert [field.field for field in caught.value.fields] == ["full_name"]
        assert UNSEEN[what] not in caught.value.message or len(UNSEEN[what]) == 1


def test_names_that_look_alike_are_alike() -> None:
    alike = ["Till 1", "  Till  1 ", "Till\u00a01", "Till\u20091", "Till\u30001", "\tTill 1\n"]
    assert {read_name(one, "display_name") for one in alike} == {"Till 1"}
    assert read_name("Jose\u0301", "full_name") == "José"


def test_a_description_has_lines_and_may_be_empty() -> None:
    assert read_optional_text("One\nTwo ", "description", lines=True) == "One\nTwo"
    assert read_optional_text(" ", "description", lines=True) == ""
    with pytest.raises(DomainError):
        read_optional_text("One\u202eTwo", "description", lines=True)


@pytest.mark.parametrize("text", ["", " ", "\u00a0", "\u3000 "])
def test_a_blank_name_is_none(text: str) -> None:
    for read in (read_text, read_name):
        with pytest.raises(DomainError) as caught:
            read(text, "full_name")
        assert caught.value.fields[0].description == "must not be blank"
