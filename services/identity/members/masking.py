"""What is shown of members at the counter: enough to greet one, too little to know who it is."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import phonenumbers

from services.identity.members.queries import MemberRow

_SHOWN_DIGITS = 4
_HIDDEN_DIGITS = 4
"""At least so many digits of a number stay hidden, however short it is."""


@dataclass(frozen=True, slots=True)
class MaskedMember:
    """A member as cashiers and tills see it. `status` is as in `MemberRow`."""

    full_name: str
    phone: str
    email: str
    status: str


def mask_member(row: MemberRow) -> MaskedMember:
    """Returns what may be shown of a member."""
    return MaskedMember(mask_name(row.full_name), mask_phone(row.phone), mask_email(row.email), row.status)


def mask_name(full_name: str) -> str:
    """Returns the first word and the initial of the last: `Grace H.`. Of a single word it is the initial, for
    that word may be the family name, or all of a name that is written without blanks.
    """
    words = full_name.split()
    if len(words) < 2:
        return f"{_initial(words[0])}…" if words else ""
    return f"{words[0]} {_initial(words[-1])}."


def mask_phone(phone: str | None) -> str:
    """Returns country code and last digits of a number in E.164 form: `+1…0100`; empty when there is none."""
    if not phone:
        return ""
    parsed = phonenumbers.parse(phone)
    shown = min(_SHOWN_DIGITS, max(0, len(phonenumbers.national_significant_number(parsed)) - _HIDDEN_DIGITS))
    return f"+{parsed.country_code}…{phone[len(phone) - shown :]}"


def mask_email(email: str | None) -> str:
    """Returns the first character and the domain: `g…@example.com`; empty when there is none."""
    if not email:
        return ""
    local, _, domain = email.rpartition("@")
    return f"{_initial(local)}…@{domain}"


def _initial(word: str) -> str:
    """Returns the first letter with the marks that belong to it."""
    marks = 1
    while marks < len(word) and unicodedata.combining(word[marks]):
        marks += 1
    return word[:marks]
