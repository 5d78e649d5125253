"""Limits on guessing passwords and one-time passwords."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.throttle import Limit, Throttle

PER_ADDRESS = Limit("failed_log_ins_per_address", 100, 300, open_when_away=True)
"""Failures of all kinds from one network address within five minutes.

Without Redis each process counts for itself: staff must be able to log in to repair things, while guessing
stays limited.
"""

CountedLimits = Sequence[tuple[Limit, str]]
"""Limits, each with the key under which it counts."""


class Guesses:
    """Counts failed guesses."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    async def check(self, limits: CountedLimits) -> None:
        """Raises TOO_MANY_REQUESTS when one of the limits is reached."""
        for limit, key in limits:
            await self._throttle.check(limit, key)

    async def count(self, limits: CountedLimits) -> None:
        """Counts one failed guess. Raises TOO_MANY_REQUESTS when it is over a limit."""
        for limit, key in limits:
            await self._throttle.hit(limit, key)
