"""Replies that are the same for everybody, read once for all who ask for the same within a second."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

Reply = TypeVar("Reply", bound=Message)

_SECONDS = 1.0
_MOST_BYTES = 16 * 2**20
_ENTRY_BYTES = 500
"""What an entry takes besides its key and its reply, about."""


class RecentReplies:
    """Replies by their requests, within a bound of memory: those not asked for longest are forgotten first.

    A reply that is returned must not be changed.
    """

    def __init__(self, *, seconds: float = _SECONDS, most_bytes: int = _MOST_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()

    async def of(self, request: Message, read: Callable[[], Awaitable[Reply]]) -> Reply:
        """Returns the reply to a request, read at most a second ago. Raises what `read` raises."""
        key = (request.DESCRIPTOR.name, request.SerializeToString(deterministic=True))
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(len(key[1]) + _ENTRY_BYTES)
            self._bytes += kept.size
        self._kept.move_to_end(key)
        if time.monotonic() - kept.read_at > self._seconds:
            async with kept.lock:
                if time.monotonic() - kept.read_at > self._seconds:
                    began = time.monotonic()
                    kept.reply, kept.read_at = await read(), began
                    self._measure(key, kept)
        found: Reply = kept.reply
        self._forget()
        return found

    def _measure(self, key: tuple[str, bytes], kept: _Kept) -> None:
        if self._kept.get(key) is kept:
            self._bytes -= kept.size
            kept.size = len(key[1]) + _ENTRY_BYTES + kept.reply.ByteSize()
            self._bytes += kept.size

    def _forget(self) -> None:
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size


class _Kept:
    def __init__(self, size: int) -> None:
        self.lock = asyncio.Lock()
        self.read_at = float("-inf")
        self.reply: Any = None
        self.size = size
