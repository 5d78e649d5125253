"""Which characters a text that people read may have, so that nobody is shown anything else than is there.

Allowed are letters of all scripts with their combining marks, digits, punctuation, symbols and emoji. Refused
are control and private-use characters, those that turn the direction of writing (by which `Till 2` can be
shown as another text than it is), and those that nobody sees, by which two names look alike that are not. The
two invisible joiners are allowed where a script or an emoji needs them: Persian and Arabic words, Indic
letters, families.
"""

from __future__ import annotations

import re
import unicodedata

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_VIRAMA = 9  # the combining class of the sign that joins Indic letters
_MOST_MARKS = 8
"""Marks on one letter: the most that a script needs are four; more paint over what stands around it."""
_UNSEEN = re.compile(
    "["
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0\ufff0-\ufff8"
    "\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
    "\ufdd0-\ufdef\ufffe\uffff"
    "]"
)
"""Letters, marks and symbols without a shape, and no characters. Formats are refused by their category."""
_SHOWN_FORMATS = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Signs before Arabic and Kaithi numbers, which are of that category and have a shape."""
_SELECTOR = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_FLAG_TAGS = re.compile("(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""What makes a black flag that of England, Scotland or Wales."""


def fault(text: str, *, lines: bool = False) -> str | None:
    """Returns what is wrong with a text, for its author, or None. With `lines` it may have several."""
    text = _FLAG_TAGS.sub("", text)
    marks = 0
    for index, character in enumerate(text):
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks > _MOST_MARKS or (marks and index == 0):
            return "must not have marks without a letter, or more than 8 on one"
        if character == "\n" and lines:
            continue
        if not _is_shown(text, index, category):
            return f"must not have control or invisible characters (U+{ord(character):04X})"
    return None


def on_one_line(text: str) -> str:
    """Returns a name in one form: composed (NFC), single spaces for blanks of any kind, and none around it.

    So names that look alike are alike.
    """
    spaced = "".join(" " if unicodedata.category(one) == "Zs" else one for one in text.strip())
    return re.sub(" +", " ", unicodedata.normalize("NFC", spaced))


def _is_shown(text: str, index: int, category: str) -> bool:
    character = text[index]
    if character in (_ZWNJ, _ZWJ):
        return _joins(text, index)
    if _SELECTOR.match(character):
        return _selects(text, index)
    if category == "Cf":
        return bool(_SHOWN_FORMATS.match(character))
    return category not in {"Cc", "Co", "Cs", "Zl", "Zp"} and not _UNSEEN.match(character)


def _joins(text: str, index: int) -> bool:
    """Returns whether a joiner is where it has a use: between Arabic letters, after a virama, in an emoji."""
    before, after = text[:index], text[index + 1 : index + 2]
    if not before or not after:
        return False
    if unicodedata.combining(before[-1]) == _VIRAMA:
        return True
    letter = next((one for one in reversed(before) if not unicodedata.category(one).startswith("M")), " ")
    if unicodedata.bidirectional(letter) == unicodedata.bidirectional(after) == "AL":
        return True
    # A selector or a colour of skin may stand between an emoji and its joiner.
    shape = _SKIN.sub("", _SELECTOR.sub("", before[-3:]))[-1:]
    return text[index] == _ZWJ and _is_symbol(shape or before[-1]) and _is_symbol(after)


def _selects(text: str, index: int) -> bool:
    """Returns whether a variation selector follows what has variations: a symbol, a Chinese character."""
    if not index:
        return False
    before = text[index - 1]
    if text[index] >= "\U000e0100":
        return unicodedata.category(before) == "Lo"
    return (
        _is_symbol(before)
        or before in "#*0123456789\u203c\u2049\u3030\u303d"
        or (unicodedata.category(before) == "Lo" and unicodedata.east_asian_width(before) == "W")
    )


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) in {"So", "Sm", "Sk"} if character else False
