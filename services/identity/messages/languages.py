"""Which language somebody is written to in."""

from __future__ import annotations

import re

from services.identity.messages.texts import LANGUAGES

DEFAULT_LANGUAGE = "en"
_RANGE = re.compile(r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*(?:;q=([01](?:\.[0-9]{0,3})?))?")
_MOST = 20
"""So many languages of a header are looked at."""


def pick_language(accepted: str | None) -> str:
    """Returns the language that an `accept-language` header likes most and texts exist in, else English.

    Regions are not told apart: `de-AT` is `de`. What is malformed in the header is passed over.
    """
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for part in (accepted or "").split(",", _MOST)[:_MOST]:
        found = _RANGE.fullmatch(part.replace(" ", ""))
        if not found:
            continue
        language, weight = found[1].lower(), float(found[2] or 1)
        if language == "*":
            language = DEFAULT_LANGUAGE
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best
