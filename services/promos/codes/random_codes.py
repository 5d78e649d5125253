"""Codes: what a till scans or a cashier types, from the system's cryptographic source."""

from __future__ import annotations

import secrets
from functools import cache

from services.promos.codes.patterns import DEFAULT, Pattern


def random_bytes(count: int) -> bytes:
    """Returns what codes are made of."""
    return secrets.token_bytes(count)


def new_codes(count: int, pattern: Pattern = DEFAULT) -> list[str]:
    """Returns random codes of a pattern; whether one exists already is decided by the database."""
    width = len(pattern.places)
    text = bytearray(count * width)
    for place, characters in enumerate(pattern.places):
        text[place::width] = _column(count, characters)
    codes = text.decode()
    return [codes[start : start + width] for start in range(0, count * width, width)]


def new_code() -> str:
    """Returns one random code."""
    return new_codes(1)[0]


def _column(count: int, characters: str) -> bytes:
    """Returns `count` of these characters, each as likely as any other."""
    if len(characters) == 1:
        return characters.encode() * count
    table, surplus = _table(characters)
    column = b""
    while len(column) < count:  # of the 256 values of a byte, at most 14 are surplus
        column += random_bytes(count - len(column)).translate(table, surplus)
    return column


@cache
def _table(characters: str) -> tuple[bytes, bytes]:
    """Returns what each byte becomes, and the bytes that would make some characters likelier than others."""
    even = 256 - 256 % len(characters)
    table = bytes(ord(characters[byte % len(characters)]) for byte in range(256))
    return table, bytes(range(even, 256))
