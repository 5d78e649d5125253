"""Codes: what a till scans or a cashier types.

12 characters of the alphabet of `services.common.codes`: 60 bits from the system's cryptographic source.
"""

from __future__ import annotations

import secrets

from services.common.codes import encode

LENGTH = 12
_PAIR_BYTES = 15
"""15 random bytes are exactly 24 characters: two codes."""


def random_bytes(count: int) -> bytes:
    """Returns what codes are made of."""
    return secrets.token_bytes(count)


def new_codes(count: int) -> list[str]:
    """Returns random codes; whether one exists already is decided by the database."""
    pairs = (count + 1) // 2
    text = encode(random_bytes(pairs * _PAIR_BYTES))
    return [text[start : start + LENGTH] for start in range(0, count * LENGTH, LENGTH)]


def new_code() -> str:
    """Returns one random code."""
    return new_codes(1)[0]
