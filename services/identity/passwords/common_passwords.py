"""Passwords that everybody tries first."""

from __future__ import annotations

from zxcvbn.frequency_lists import FREQUENCY_LISTS

_COMMON = frozenset(FREQUENCY_LISTS["passwords"])
"""The 30,000 most common ones of the lists that zxcvbn was made from."""


def is_common(password: str) -> bool:
    """Whether this is one of the 30,000 most common passwords, whatever its letter case."""
    return password.lower() in _COMMON
