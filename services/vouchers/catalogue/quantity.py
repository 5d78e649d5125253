"""What is left of vouchers, for crowds that watch it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError
from services.common.live_streams import LiveStream
from services.vouchers.catalogue.quantity_changes import QuantityChanges
from services.vouchers.catalogue.queries import get_offers
from services.vouchers.catalogue.refusals import voucher_not_found

_REST_SECONDS = 0.2
LOOK_SECONDS = 2.0
"""How long a change stays unseen at most when nobody tells it: Redis is away, a sale begins or ends."""


@dataclass(frozen=True, slots=True)
class Left:
    """What was left of a voucher when it was read."""

    quantity: int
    read_at: int
    """In milliseconds since 1970; later readings have larger ones."""


@dataclass(eq=False, slots=True)
class Watched:
    """A voucher that somebody watches."""

    left: Left | None = None
    """None before it was read, and when it is not on sale any more."""
    was_read: bool = False
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    streams: set[LiveStream] = field(default_factory=set)


class Quantities:
    """Reads what is left of the vouchers that are watched: once for all who watch, when it has changed."""

    def __init__(self, db: Database, changes: QuantityChanges, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._db = db
        self._changes = changes
        self._look_seconds = look_seconds
        self._watched: dict[UUID, Watched] = {}
        self._changed: set[UUID] = set()
        self._news = asyncio.Event()

    @asynccontextmanager
    async def watch(self, voucher_id: UUID, stream: LiveStream) -> AsyncIterator[Watched]:
        """Yields a voucher, whose `left` changes; the stream is woken each time.

        Raises VOUCHER_NOT_FOUND when it is not on sale.
        """
        watched = self._watched.setdefault(voucher_id, Watched())
        watched.streams.add(stream)
        try:
            async with watched.reading:
                if not watched.was_read:
                    await self._read([voucher_id])
            if watched.left is None:
                raise voucher_not_found(voucher_id)
            yield watched
        finally:
            watched.streams.discard(stream)
            if not watched.streams:
                self._watched.pop(voucher_id, None)

    async def listen(self) -> None:
        """Notes what is told to have changed, for ever."""
        async for changed in self._changes.heard():
            self._note(self._watched if changed is None else changed)

    async def look(self) -> None:
        """Reads what has changed, and now and then all that is watched, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._news.wait()
            except TimeoutError:
                self._note(self._watched)
            self._news.clear()
            changed, self._changed = self._changed, set()
            if wanted := [voucher_id for voucher_id in changed if voucher_id in self._watched]:
                await self._read(wanted)
            await asyncio.sleep(_REST_SECONDS)

    def _note(self, voucher_ids: Collection[UUID]) -> None:
        self._changed.update(voucher_id for voucher_id in voucher_ids if voucher_id in self._watched)
        if self._changed:
            self._news.set()

    async def _read(self, voucher_ids: Collection[UUID]) -> None:
        now = time.time_ns() // 1_000_000
        found = await self._db.read(get_offers, list(voucher_ids))
        for voucher_id, offer in zip(voucher_ids, found, strict=True):
            if watched := self._watched.get(voucher_id):
                _see(watched, None if isinstance(offer, DomainError) else offer.quantity_left, now)


def _see(watched: Watched, quantity: int | None, now: int) -> None:
    before, is_first = watched.left, not watched.was_read
    if not is_first and quantity == (before and before.quantity):
        return
    watched.was_read = True
    later = max(now, before.read_at + 1) if before else now
    watched.left = None if quantity is None else Left(quantity, later)
    if not is_first:  # else all who watch wait for this reading
        for stream in watched.streams:
            stream.wake()
