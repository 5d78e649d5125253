"""Callers as they are in life: a call without a response is repeated with the same key until it has one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from tests.platform import Platform, refusal

PATIENCE_SECONDS = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0


class GaveUpError(Exception):
    """The caller went away without a response."""


@dataclass
class Disturbed:
    """What callers saw while something was broken."""

    answered: int = 0
    unanswered: int = 0
    reached: dict[int, asyncio.Event] = field(default_factory=dict)

    def note_answer(self) -> None:
        """Counts one more final response."""
        self.answered += 1
        for count, event in self.reached.items():
            if self.answered >= count:
                event.set()

    async def until_answered(self, count: int) -> None:
        """Waits until so many have their response."""
        if self.answered < count:
            await self.reached.setdefault(count, asyncio.Event()).wait()


async def answer(
    live: Platform, call: Callable[[], Awaitable[httpx.Response]], seen: Disturbed, *, patient: bool = True
) -> httpx.Response:
    """Returns the response to a call that is sent again after each 503, cut connection and timeout.

    Anything else is final; one that an app could not show its user fails the test. A caller that is
    not patient raises GaveUpError instead of sending again.
    """
    deadline, wait = time.monotonic() + PATIENCE_SECONDS, FIRST_WAIT
    while True:
        try:
            got = await call()
        except httpx.TransportError as error:
            told = repr(error)
        else:
            if got.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                if got.status_code != httpx.codes.OK:
                    refusal(got)
                return got
            told = refusal(got).message
        seen.unanswered += 1
        if not patient:
            raise GaveUpError
        assert time.monotonic() < deadline, f"no answer within {PATIENCE_SECONDS:g} s: {told}"
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
