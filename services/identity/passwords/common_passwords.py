"""Passwords that everybody tries first."""

from __future__ import annotations

from functools import cache


def is_common(password: str) -> bool:
    """Returns whether this is one of the 30,000 most common passwords, whatever its letter case."""
    return password.lower() in _common()


@cache
def _common() -> frozenset[str]:
    """Returns the most common ones of the lists that zxcvbn was made from."""
    # Imported when somebody first chooses a password: it takes 0.06 s and some 10 MiB.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(FREQUENCY_LISTS["passwords"])
