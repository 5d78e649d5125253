"""Streams that stay open while somebody watches: at most so many at a time, none for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.errors import DomainError, unavailable

LOOK_SECONDS = 0.5
_STREAM_SECONDS = 300.0


class LiveStreams:
    """The live streams of a service's process."""

    def __init__(self, service: str, *, most: int) -> None:
        self._service = service
        self._most = most
        self._open = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends all streams, because the service stops."""
        self._closing.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LiveStream]:
        """Yields a stream's clock. Raises TOO_MANY_WATCHERS when there are as many as there may be."""
        if self._open >= self._most:
            raise DomainError("TOO_MANY_WATCHERS", "too many live streams are open", retry_after=5.0)
        self._open += 1
        try:
            yield LiveStream(self._service, self._closing)
        finally:
            self._open -= 1


class LiveStream:
    """How long a stream goes on: 5 minutes, or until its service stops."""

    def __init__(self, service: str, closing: asyncio.Event) -> None:
        self._service = service
        self._closing = closing
        self._until = time.monotonic() + _STREAM_SECONDS

    async def goes_on(self) -> bool:
        """Returns after half a second whether to look again; False once the stream's time is over.

        Raises DEPENDENCY_UNAVAILABLE when the service stops, at once, so that a client opens it elsewhere.
        """
        if time.monotonic() >= self._until:
            return False
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return True
        raise unavailable(self._service)
