"""Passwords: Argon2id, computed off the event loop and two at a time at most."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from services.common.errors import DomainError, overloaded
from services.identity.passwords.common_passwords import is_common

_PARALLEL = 2
_QUEUE = 200
"""Who would have to wait behind so many is told to come again; each takes some 0.1 s of a core.

Half of the places are for logins alone: however many want new passwords hashed, others still get in.
"""

MEMORY_KIB, _PASSES = 65_536, 3
_NICENESS = 5
"""More would starve logins on a busy machine; with less they would hold up other calls."""

SHORTEST, LONGEST = 8, 128

P = ParamSpec("P")
T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords (RFC 9106, second recommended option: 64 MiB, 3 passes).

    With less memory a hash costs less, for who checks it and for who guesses.
    """

    def __init__(self, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=memory_kib, parallelism=1)
        # The hash of no password that anybody knows, which costs as much to verify as any.
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={_PASSES},p=1${'A' * 22}${'A' * 43}"
        # Threads of their own: a caller who goes away leaves his behind, and must not be worth another.
        self._threads = ThreadPoolExecutor(_PARALLEL, "passwords", initializer=_yield_to_others)
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._waiting = 0

    def require_strong(self, password: str) -> None:
        """Raises PASSWORD_TOO_WEAK for a password that somebody should not choose."""
        if not SHORTEST <= len(password) <= LONGEST:
            message = f"a password has {SHORTEST} to {LONGEST} characters"
            raise DomainError("PASSWORD_TOO_WEAK", message, rule="length")
        if is_common(password):
            raise DomainError("PASSWORD_TOO_WEAK", "this password is too common", rule="common")

    async def hash_new(self, password: str) -> str:
        """The hash of a password that somebody chose. Raises PASSWORD_TOO_WEAK, and as `hash` does."""
        self.require_strong(password)
        return await self.hash(password)

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises OVERLOADED."""
        async with self._turn(_QUEUE // 2):
            return await self._off_the_loop(self._hasher.hash, _composed(password))

    async def renew(self, kept: str, password: str) -> str | None:
        """A hash at the present cost, of a password that was verified.

        None when the one that is kept has that cost, or others would have to wait for it.
        """
        if self._slots.locked() or not self._hasher.check_needs_rehash(kept):
            return None
        return await self.hash(password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether this is the password; to be called in one's turn.

        Takes as long when none is kept, lest names be probed.
        """
        return await self._off_the_loop(self._matches, kept, password)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Waits until it is one's turn to verify. Raises OVERLOADED when too many wait.

        What is checked and counted in it decides about those whose turn comes later, so that of many
        guesses made at once few are looked at.
        """
        return self._turn(_QUEUE)

    @asynccontextmanager
    async def _turn(self, most_waiting: int) -> AsyncIterator[None]:
        if self._waiting >= most_waiting:
            raise overloaded("passwords")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def _matches(self, kept: str | None, password: str) -> bool:
        try:
            self._hasher.verify(kept or self._nobody, _composed(password))
        except (VerifyMismatchError, InvalidHashError):
            return False
        return kept is not None

    async def _off_the_loop(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))


def _composed(password: str) -> str:
    """The password as all keyboards mean it: some send an accent and its letter as one, some as two."""
    return unicodedata.normalize("NFC", password)


def _yield_to_others() -> None:
    """Lets this thread compute only when nobody else on the machine wants to."""
    if sys.platform == "linux":  # where threads have a niceness each
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
