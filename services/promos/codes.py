"""Codes: what a till scans or a cashier types.

12 characters of Crockford's base32 alphabet, which has no look-alikes: 60 bits from the system's
cryptographic source.
"""

from __future__ import annotations

import base64
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12

_RFC_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = bytes.maketrans(_RFC_ALPHABET, ALPHABET.encode())
_PAIR_BYTES = 15
"""15 random bytes are exactly 24 characters: two codes."""

_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_AS_WRITTEN = str.maketrans({"O": "0", "I": "1", "L": "1", **dict.fromkeys(_DASHES)})


def random_bytes(count: int) -> bytes:
    """Where codes come from."""
    return secrets.token_bytes(count)


def new_codes(count: int) -> list[str]:
    """Random codes; whether one exists already is for the database to say."""
    pairs = (count + 1) // 2
    drawn = base64.b32encode(random_bytes(pairs * _PAIR_BYTES))
    text = drawn.translate(_TO_CROCKFORD).decode()
    return [text[start : start + LENGTH] for start in range(0, count * LENGTH, LENGTH)]


def new_code() -> str:
    """One random code."""
    return new_codes(1)[0]


def normalise(written: str) -> str:
    """A code as it is stored, from what was scanned or typed.

    Letter case, spaces and dashes do not matter, and letters that look like digits are read as those.
    """
    return "".join(written.split()).upper().translate(_AS_WRITTEN)
