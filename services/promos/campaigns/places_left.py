"""The places that campaigns have left, for crowds that watch them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, Database, fetch_all
from services.promos.campaigns.refusals import campaign_not_found

_SECONDS = 0.4


class PlacesLeft:
    """Reads the places of all campaigns that go on, once for all who ask at about the same time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._left: Mapping[UUID, int] = {}

    async def of(self, campaign_id: UUID) -> int:
        """Returns how many places are left, at most 0.4 s old.

        Raises CAMPAIGN_NOT_FOUND for a campaign that is paused or not within its window.
        """
        async with self._lock:
            known = campaign_id in self._left  # one that began since has none yet
            if not known or time.monotonic() - self._read_at > _SECONDS:
                self._left = await self._db.read(_places_left)
                self._read_at = time.monotonic()
            left = self._left.get(campaign_id)
        if left is None:
            raise campaign_not_found(campaign_id)
        return left


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    places_left: int


async def _places_left(connection: Connection) -> Mapping[UUID, int]:
    rows = await fetch_all(
        connection,
        _Row,
        """
        SELECT id, places - places_taken AS places_left FROM campaigns
        WHERE state = 'ACTIVE' AND starts_at <= now() AND (ends_at IS NULL OR now() < ends_at)
        """,
    )
    return {row.id: row.places_left for row in rows}
