"""Live streams: a value now and whenever it changes, for a bounded number of watchers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from services.common.errors import DomainError, unavailable

T = TypeVar("T")

_LOOK_SECONDS = 0.5
_STREAM_SECONDS = 300.0
_RETRY_SECONDS = 5.0


class Watchers:
    """The live streams of a process, `most` at a time. `service` is who tells that it stops."""

    def __init__(self, service: str, most: int) -> None:
        self._service = service
        self._most = most
        self._count = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends all streams, because the service stops."""
        self._closing.set()

    async def watch(self, look: Callable[[], Awaitable[T]], *, over: str) -> AsyncGenerator[T]:
        """Yields what `look` returns, now and whenever it is different, for five minutes.

        `over` is the reason by which `look` refuses when there is nothing to watch: at once that is raised,
        later it ends the stream. Raises TOO_MANY_WATCHERS, and DEPENDENCY_UNAVAILABLE when the service
        stops, at once, so that the stream is opened elsewhere. Those who stop early must close it
        (`contextlib.aclosing`).
        """
        if self._count >= self._most:
            raise DomainError(
                "TOO_MANY_WATCHERS", "too many live streams are open", retry_after=_RETRY_SECONDS
            )
        self._count += 1
        try:
            seen = await look()
            yield seen
            until = time.monotonic() + _STREAM_SECONDS
            while time.monotonic() < until:
                if await self._closes_within(_LOOK_SECONDS):
                    raise unavailable(self._service)
                try:
                    now = await look()
                except DomainError as error:
                    if error.reason == over:
                        return
                    raise
                if now != seen:
                    seen = now
                    yield seen
        finally:
            self._count -= 1

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False
