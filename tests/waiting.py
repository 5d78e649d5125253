"""Waiting in tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.05


async def eventually(check: Callable[[], Awaitable[T]], seconds: float = 20.0) -> T:
    """Repeats a check that raises AssertionError until it passes, for so long at most.

    By how much a pause lasted longer than asked for does not count: so long the machine let nobody run.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await check()
        except AssertionError:
            now = time.monotonic()
            if now > deadline:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
            deadline += time.monotonic() - now - _PAUSE_SECONDS
