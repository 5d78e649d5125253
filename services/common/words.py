"""Words of names, addresses and queries: how they are compared, and which typing errors are forgiven.

PostgreSQL comes here without its contrib extensions, so what is searched for is made in Python and looked up
there as it is: the terms of a store in an index on an array, and for typing errors the words that are known,
each with what is left of it when letters are left out ("symmetric delete"). Two words that differ by one
letter have such a remainder in common, however common their letters are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import combinations

MOST_WORDS = 8
"""Words of a query that count."""
_MOST_WORDS_OF_TEXT = 60
_LONGEST_WORD = 40
_LONGEST_PREFIX = 12
"""Letters of a word by which its beginning is found; longer words that begin alike are found together."""
_FIRST_ERROR, _SECOND_ERROR = 4, 8
"""Letters that a word has when one error, or a second one, is forgiven."""
_LIKE_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}
)
_APOSTROPHES = re.compile("['\u2019`\u00b4]")
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Returns the words of a text in small letters and without accents, in their order."""
    bare = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
        if unicodedata.category(letter) != "Mn"
    )
    found = _WORD.findall(unicodedata.normalize("NFKC", bare.translate(_LIKE_LETTERS)))
    return [word[:_LONGEST_WORD] for word in found[:_MOST_WORDS_OF_TEXT]]


def key(text: str) -> str:
    """Returns what names are sorted by, and compared with the beginning of another one."""
    return " ".join(words(text)) or text.casefold()


def name_terms(name: str) -> list[str]:
    """Returns the terms by which a name is found: as a whole, by its words, and by their beginnings."""
    found = words(name)
    return _unique([is_name(found), *map(in_name, found), *_beginnings(found)])


def text_terms(*texts: str) -> list[str]:
    """Returns the terms by which other texts are found: the beginnings of their words."""
    return _unique(_beginnings(words(" ".join(texts))))


def is_name(query: Sequence[str]) -> str:
    """Returns the term of what is called exactly so."""
    return "=" + " ".join(query[:MOST_WORDS])


def in_name(word: str) -> str:
    """Returns the term of what has this word in its name."""
    return "+" + word


def begins(word: str) -> str:
    """Returns the term of what has a word that begins so."""
    return word[:_LONGEST_PREFIX] + "*"


def errors_forgiven(word: str) -> int:
    """Returns how many typing errors a word may have. Figures are not words that somebody misspells."""
    if any(letter.isdigit() for letter in word) or len(word) < _FIRST_ERROR:
        return 0
    return 1 if len(word) < _SECOND_ERROR else 2


def remainders(word: str) -> list[str]:
    """Returns what is left of a word when as many letters are left out as it may have errors, or fewer.

    Of a long word that is 79 texts at most. Empty for a word in which no error is forgiven.
    """
    most, start = errors_forgiven(word), word[:_LONGEST_PREFIX]
    if not most:
        return []
    return _unique(
        "".join(letter for place, letter in enumerate(start) if place not in out)
        for errors in range(most + 1)
        for out in combinations(range(len(start)), errors)
    )


def distance(one: str, other: str) -> int:
    """Returns how many typing errors lie between two words.

    One is a letter too many, missing or wrong, or two that are swapped. This is the optimal string alignment
    distance.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before_that, before, row = before, row, [i]
        for j, against in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, before_that[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _beginnings(found: Iterable[str]) -> list[str]:
    return [
        begins(word[:length]) for word in found for length in range(1, min(len(word), _LONGEST_PREFIX) + 1)
    ]


def _unique(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))
