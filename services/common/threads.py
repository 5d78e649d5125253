"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T], *, seconds: float) -> T:
    """Returns the result of blocking work, in a thread that nobody has to wait for.

    Raises what the work raises, and TimeoutError after `seconds`. Work that is given up goes on behind
    until its own timeouts end it; unlike a thread of a pool it never keeps the process from stopping.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if outcome.done():  # given up
            return
        if error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]  # there is one when there is no error

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # raised again where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(partial(settle, result, failure))

    threading.Thread(target=run, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await outcome
