"""Limits on guessing passwords and one-time passwords.

Failures of strangers and of those who have logged in before count apart: a stranger who guesses shuts out
other strangers, and not the owner, who comes from a device or an address that the account knows. Each such
place has a limit of its own, and an account knows ten at most, so that guesses stay bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common.db import Database
from services.common.throttle import Limit, Throttle
from services.identity.accounts.places import Place
from services.identity.accounts.queries import known_places
from services.identity.keys import Vault

PER_ADDRESS = Limit("failed_log_ins_per_address", 100, 300, open_when_away=True)
"""Failures of all kinds from one network address within five minutes.

Without Redis each process counts for itself: staff must be able to log in to repair things, while guessing
stays limited.
"""

CountedLimits = Sequence[tuple[Limit, str]]
"""Limits, each with the key under which it counts."""

_NOBODY = UUID(int=0)


class Guesses:
    """Counts failed guesses."""

    def __init__(self, db: Database, vault: Vault, throttle: Throttle) -> None:
        self._db = db
        self._vault = vault
        self._throttle = throttle

    async def limits(
        self, limit: Limit, strangers: str, account_id: UUID | None, place: Place
    ) -> CountedLimits:
        """Returns the limits for a guess from a place.

        `limit` counts under the key `strangers`, or under one of the place's own where the account knows it.
        It is one limit with one name, so that being refused does not tell who has logged in from here. A
        device that is known is not held up by what others do from its address. Takes as long when there is no
        account.
        """
        owner = account_id or _NOBODY
        found = await self._db.read(known_places, owner, place.hashes(self._vault, owner))
        device, address = place.device_hash(self._vault, owner), place.address_hash(self._vault, owner)
        if device in found:
            return ((limit, f"{owner}:{device.hex()}"),)
        key = f"{owner}:{address.hex()}" if address in found else strangers
        return ((limit, key), (PER_ADDRESS, place.address))

    async def check(self, limits: CountedLimits) -> None:
        """Raises TOO_MANY_REQUESTS when one of the limits is reached."""
        for limit, key in limits:
            await self._throttle.check(limit, key)

    async def count(self, limits: CountedLimits) -> None:
        """Counts one failed guess. Raises TOO_MANY_REQUESTS when it is over a limit."""
        for limit, key in limits:
            await self._throttle.hit(limit, key)
