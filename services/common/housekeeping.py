"""Small chores that come round again and again, in workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.common.errors import DomainError

log = logging.getLogger(__name__)


async def repeat(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    """Does a chore, then waits, for ever. A dependency that is away only delays it."""
    while True:
        try:
            await chore()
        except DomainError as error:
            log.warning("put off: %s", error)
        await asyncio.sleep(seconds)
