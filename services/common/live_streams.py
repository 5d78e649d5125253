"""Streams that stay open while somebody watches: at most so many at a time, none for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.common import server_sent_events
from services.common.errors import DomainError, unavailable

T = TypeVar("T")

LOOK_SECONDS = 0.5
_STREAM_SECONDS = 300.0


class LiveStreams:
    """The live streams of a service's process."""

    def __init__(self, service: str, *, most: int) -> None:
        self._service = service
        self._most = most
        self._open: set[LiveStream] = set()
        self._closed = False

    def close(self) -> None:
        """Ends all streams, also those that are still to come, because the service stops."""
        self._closed = True
        for stream in self._open:
            stream.end()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LiveStream]:
        """Yields a stream's clock. Raises TOO_MANY_WATCHERS when there are as many as there may be."""
        if len(self._open) >= self._most:
            raise DomainError("TOO_MANY_WATCHERS", "too many live streams are open", retry_after=5.0)
        stream = LiveStream(self._service)
        if self._closed:
            stream.end()
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)


class LiveStream:
    """How long a stream goes on: 5 minutes, or until its service stops."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._until = time.monotonic() + _STREAM_SECONDS
        self._woken = asyncio.Event()
        self._ended = False

    def wake(self) -> None:
        """Has the stream look again at once."""
        self._woken.set()

    def end(self) -> None:
        """Has the stream end at once, because the service stops."""
        self._ended = True
        self._woken.set()

    async def changes(
        self, read: Callable[[], Awaitable[T]], *, is_last: Callable[[T], bool]
    ) -> AsyncIterator[T | None]:
        """Yields what is read, now and at each change, until the last; None after 15 s without a change."""
        sent: T | None = None
        sent_at = time.monotonic()
        while True:
            found = await read()
            if found != sent:
                sent, sent_at = found, time.monotonic()
                yield found
            elif time.monotonic() - sent_at >= server_sent_events.HEARTBEAT_SECONDS:
                sent_at = time.monotonic()
                yield None
            if is_last(found) or not await self.goes_on():
                return

    async def goes_on(self, seconds: float = LOOK_SECONDS) -> bool:
        """Returns after so many seconds, or once it is woken, whether to look again.

        False when the stream's time is over. Raises DEPENDENCY_UNAVAILABLE when the service stops, at once,
        so that a client opens it elsewhere.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        try:
            async with asyncio.timeout(min(seconds, left)):
                await self._woken.wait()
        except TimeoutError:
            return True
        if self._ended:
            raise unavailable(self._service)
        self._woken.clear()
        return True
