"""Chores and loops that come round for ever, beside servers and in workers: their faults, and their end.

Nothing that fails here ends anything else: it is told, and tried again after waits that grow and are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from services.common.errors import is_away

log = logging.getLogger(__name__)

_LONGEST_WAIT = 60.0
_LONGEST_WAIT_AWAY = 5.0
"""What was away is to be noticed soon when it is back."""
_WELL_SECONDS = 60.0
"""A loop that ran for so long was well, however it ended."""
_CANCELLATIONS = 10
_CANCEL_SECONDS = 0.2


class Failures:
    """How often something has failed in a row: tells what must be told, and how long to wait."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._in_a_row = 0
        self._away = False

    def note(self, error: Exception) -> float:
        """Logs an error; returns how many seconds to wait: 1, 2, 4 ... 60.

        A dependency that is away is told once, when the outage begins, and waited for 5 s at a time at most.
        Anything else is a defect, told each time with its traceback.
        """
        self._in_a_row += 1
        wait = 2.0 ** min(self._in_a_row - 1, 10)
        if is_away(error):
            if not self._away:
                log.warning("%s waits: %s", self._what, error)
            self._away = True
            return min(wait, _LONGEST_WAIT_AWAY)
        self._away = False
        log.error("%s failed, %d times in a row", self._what, self._in_a_row, exc_info=error)
        return min(wait, _LONGEST_WAIT)

    def over(self) -> None:
        """It succeeded: what fails from now on fails for the first time."""
        if self._away:
            log.info("%s goes on", self._what)
        self._in_a_row, self._away = 0, False


async def repeat(seconds: float, chore: Callable[[], Awaitable[object]], *, name: str = "") -> None:
    """Does a chore, then waits, for ever. One that fails is done again, not sooner than usual.

    `name` is for the log; that of the function when not given.
    """
    failures = Failures(name or _name(chore))
    while True:
        wait = seconds
        try:
            await chore()
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end what runs beside
            wait = max(seconds, failures.note(error))
        else:
            failures.over()
        await asyncio.sleep(wait)


async def keep_running(loop: Callable[[], Awaitable[object]], *, name: str = "") -> None:
    """Runs a loop that is to run for ever. When it fails or returns, it is begun again after a wait.

    `name` as above.
    """
    failures = Failures(name or _name(loop))
    while True:
        began = time.monotonic()
        try:
            await loop()
            failed: Exception = AssertionError("it ended, and was to run for ever")
        except Exception as error:  # noqa: BLE001  # as above
            failed = error
        if time.monotonic() - began > _WELL_SECONDS:
            failures.over()
        await asyncio.sleep(failures.note(failed))


def _name(work: Callable[[], Awaitable[object]]) -> str:
    function: Callable[..., object] = work
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__name__)


async def end(tasks: Collection[asyncio.Future[None]]) -> None:
    """Cancels tasks and waits until they have ended.

    Again if need be: before Python 3.12 a cancellation is lost when what the task waits for with a
    timeout, such as a reply of the database, comes in the same turn of the loop.
    """
    pending = set(tasks)
    for _ in range(_CANCELLATIONS):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_SECONDS)
    if pending:
        log.error("%d tasks do not end", len(pending))
