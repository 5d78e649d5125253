"""Payment cards. They are never stored, logged or shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.vouchers.payments.refusals import card_not_valid

_NUMBER = re.compile(r"[0-9]{12,19}")
_CVC = re.compile(r"[0-9]{3,4}")
_LAST_ZONE = timedelta(hours=12)
_MOST_YEARS = 30


@dataclass(frozen=True, slots=True)
class Card:
    """A card as its holder typed it; what is shown of it, in a traceback or a log, is nothing."""

    number: str = field(repr=False)
    expiry_month: int = field(repr=False)
    expiry_year: int = field(repr=False)
    cvc: str = field(repr=False)
    holder: str = field(default="", repr=False)


def checked_card(card: Card, now: datetime) -> Card:
    """Returns the card with nothing but digits in its number. Raises CARD_NOT_VALID, naming what is wrong.

    A card is good until its month is over everywhere: twelve hours after it is over in UTC.
    """
    number = card.number.replace(" ", "").replace("-", "")
    if not _NUMBER.fullmatch(number):
        raise card_not_valid("number", "must have 12 to 19 digits")
    if not _passes_luhn(number):
        raise card_not_valid("number", "is mistyped")
    if not 1 <= card.expiry_month <= 12:
        raise card_not_valid("expiry", "must have a month from 1 to 12")
    today = now - _LAST_ZONE
    if (card.expiry_year, card.expiry_month) < (today.year, today.month):
        raise card_not_valid("expiry", "is over")
    if card.expiry_year > today.year + _MOST_YEARS:
        raise card_not_valid("expiry", "is too far off")
    if not _CVC.fullmatch(card.cvc):
        raise card_not_valid("cvc", "must have 3 or 4 digits")
    return Card(number, card.expiry_month, card.expiry_year, card.cvc, card.holder.strip())


def _passes_luhn(number: str) -> bool:
    """Returns whether the last digit fits the others, by which a mistyped one is found (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
