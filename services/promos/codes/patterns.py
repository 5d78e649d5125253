"""Patterns: how the codes of a set look, and how many are possible.

`#` is a random digit, `@` a random letter, `*` either, of the alphabet of `services.common.codes`; letters,
digits and hyphens stand for themselves. A code is stored as `read_code` reads it, so a hyphen is only shown.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from services.common.codes import ALPHABET, read_code
from services.common.errors import invalid_field

_DIGITS = "0123456789"
_RANDOM = {"#": _DIGITS, "@": "".join(sorted(set(ALPHABET) - set(_DIGITS))), "*": ALPHABET}
_READABLE = re.compile(r"[A-Z0-9#@*-]{1,64}")
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern; `places` has, for each character of a stored code, what it may be."""

    text: str
    places: tuple[str, ...]

    @property
    def possible_codes(self) -> int:
        """How many different codes there can be."""
        return math.prod(map(len, self.places))

    def share_of(self, other: Pattern) -> Fraction:
        """Returns which part of the codes of `other` are possible here too."""
        if len(self.places) != len(other.places):
            return Fraction(0)
        both = math.prod(
            len(set(mine) & set(its)) for mine, its in zip(self.places, other.places, strict=True)
        )
        return Fraction(both, other.possible_codes)


def read_pattern(text: str) -> Pattern:
    """Returns a pattern as staff write it. Raises VALIDATION_FAILED for one that no codes can be made of."""
    text = text.strip().upper()
    if not _READABLE.fullmatch(text):
        raise invalid_field(
            "pattern", "must be 1 to 64 letters, digits, hyphens, or #, @ and * for random ones"
        )
    if not set(text) & set(_RANDOM):
        raise invalid_field("pattern", "must have a random place: #, @ or *")
    return pattern_of(text)


@lru_cache(256)
def pattern_of(kept: str | None) -> Pattern:
    """Returns the pattern that a set keeps, or that of all sets that keep none."""
    text = "*" * 12 if kept is None else kept
    return Pattern(text, tuple(_RANDOM.get(character, character) for character in read_code(text)))


DEFAULT = pattern_of(None)
"""12 characters: 60 random bits."""


def code_text(code: str, kept: str | None, written: str | None = None) -> str:
    """Returns a stored code as it is printed and scanned, which `read_code` reads as the stored one.

    That is as it was `written` where it was imported, else with the letters of its set's pattern.
    """
    if written is not None:
        return written
    return code if kept is None else display_code(code, kept).replace("-", "")


def display_code(code: str, kept: str | None, written: str | None = None) -> str:
    """Returns a stored code as people read it best: in groups of four, or as the set's pattern is written.

    One that was imported is returned as it was `written`, and one that is not of the pattern as it is.
    """
    if written is not None:
        return written
    pattern = pattern_of(kept)
    if len(code) != len(pattern.places) or not all(map(str.__contains__, pattern.places, code)):
        return code
    if kept is None:
        return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))
    characters = iter(code)
    return "".join(mark if mark == "-" else _shown(mark, next(characters)) for mark in pattern.text)


def _shown(mark: str, character: str) -> str:
    return character if mark in _RANDOM else mark
