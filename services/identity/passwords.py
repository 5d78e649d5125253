"""Passwords of staff: Argon2id, computed off the event loop and two at a time at most."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_PARALLEL = 2


class Passwords:
    """Hashes and verifies passwords (RFC 9106, second recommended option: 64 MiB, 3 passes)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether this is the password. Takes as long when none is kept, lest names be probed."""
        if kept is None and not self._nobody:
            self._nobody = await self.hash("nobody has this password")
        async with self._slots:
            return await asyncio.to_thread(self._matches, kept, password)

    def _matches(self, kept: str | None, password: str) -> bool:
        try:
            self._hasher.verify(kept or self._nobody, password)
        except (VerifyMismatchError, InvalidHashError):
            return False
        return kept is not None
