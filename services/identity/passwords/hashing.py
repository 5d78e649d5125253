"""Passwords: Argon2id, computed off the event loop and two at a time at most."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
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
_LONGEST_WAIT = 5.0
"""A call that would have to wait for so many seconds is refused at once: its caller waits for ten at most,
and can wait outside as well. Half of that for hashing new ones, so that others can still log in, however many
there are.
"""
_FIRST_GUESS = 0.1
"""How long a hash takes, in seconds, until some were measured."""
_SMOOTHING = 0.3

_PASSES = 3
_NICENESS = 5
"""So much nicer than the process are the threads that hash. More would starve logins on a busy
machine; with less they would hold up other calls.
"""
_NICEST = 19

SHORTEST, LONGEST = 8, 128

P = ParamSpec("P")
T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords (RFC 9106, second recommended option: 64 MiB, 3 passes).

    With less memory a hash costs less, to check and to guess.
    """

    def __init__(self, memory_kib: int) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=memory_kib, parallelism=1)
        # Verified when a name is unknown: the hash of a password that nobody knows, at the same cost as any.
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={_PASSES},p=1${'A' * 22}${'A' * 43}"
        # Threads of their own: a call that is cancelled leaves its thread at work, and must not free a place.
        self._threads = ThreadPoolExecutor(_PARALLEL, "passwords", initializer=_yield_to_others)
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._waiting = 0
        self._seconds = _FIRST_GUESS

    def require_strong(self, password: str) -> None:
        """Raises PASSWORD_TOO_WEAK for a password that somebody should not choose."""
        if not SHORTEST <= len(password) <= LONGEST:
            message = f"a password has {SHORTEST} to {LONGEST} characters"
            raise DomainError("PASSWORD_TOO_WEAK", message, rule="length")
        if is_common(password):
            raise DomainError("PASSWORD_TOO_WEAK", "this password is too common", rule="common")

    async def hash_new(self, password: str) -> str:
        """Returns the hash of a chosen password. Raises PASSWORD_TOO_WEAK, and as `hash` does."""
        self.require_strong(password)
        return await self.hash(password)

    async def hash(self, password: str) -> str:
        """Returns the hash to keep. Raises OVERLOADED."""
        async with self._turn(_LONGEST_WAIT / 2):
            return await self._off_the_loop(self._hasher.hash, _composed(password))

    async def renew(self, kept: str, password: str) -> str | None:
        """Returns a hash at the present cost, of a password that was verified.

        Returns None when the one that is kept has that cost, or others would have to wait for it.
        """
        if self._slots.locked() or not self._hasher.check_needs_rehash(kept):
            return None
        return await self.hash(password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Returns whether this is the password; to be called within `turn`.

        Takes as long when none is kept, so that the time does not reveal which names exist.
        """
        return await self._off_the_loop(self._matches, kept, password)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Waits for a place for verifying, and holds it. Raises OVERLOADED when that would take too long.

        Limits that are checked and counted within it apply to those who still wait, so that of many guesses
        made at once few are verified.
        """
        return self._turn(_LONGEST_WAIT)

    @asynccontextmanager
    async def _turn(self, longest_wait: float) -> AsyncIterator[None]:
        expected = self._waiting * self._seconds / _PARALLEL
        if expected > longest_wait:
            raise overloaded("passwords", seconds=math.ceil(expected))
        self._waiting += 1
        try:
            # Longer than was expected: the machine has become slower meanwhile.
            async with asyncio.timeout(_LONGEST_WAIT):
                await self._slots.acquire()
        except TimeoutError:
            raise overloaded("passwords", seconds=math.ceil(_LONGEST_WAIT)) from None
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
        began = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: work(*args, **kwargs)
            )
        finally:
            self._seconds += _SMOOTHING * (time.monotonic() - began - self._seconds)


def _composed(password: str) -> str:
    """Returns the password in one form: some keyboards send an accent and its letter as one, some as two."""
    return unicodedata.normalize("NFC", password)


def _yield_to_others() -> None:
    """Lowers this thread's priority, so that hashing does not delay calls."""
    if sys.platform == "linux":  # where threads have a niceness each
        thread = threading.get_native_id()
        # The process may be nice itself: nobody but root may set a lower value than that.
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, min(niceness, _NICEST))
