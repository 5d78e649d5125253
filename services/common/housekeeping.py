"""Small chores that come round again and again, beside servers and in workers, and their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from services.common.errors import DomainError

log = logging.getLogger(__name__)

_CANCELLATIONS = 10
_CANCEL_SECONDS = 0.2


async def repeat(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    """Does a chore, then waits, for ever. A dependency that is away only delays it."""
    while True:
        try:
            await chore()
        except DomainError as error:
            log.warning("put off: %s", error)
        await asyncio.sleep(seconds)


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


def failure(tasks: Collection[asyncio.Future[None]]) -> BaseException | None:
    """Returns the error that one of these tasks ended with, if any did."""
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    return next(filter(None, errors), None)
