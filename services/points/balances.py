"""Balances, read from the cache when it has them, from the database when not."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from services.common.cache import VersionedCache
from services.common.db import Database
from services.points import queries
from services.points.purchases import Balance


class Balances:
    """Members' balances. Whoever moves points calls `changed` after the commit and before answering."""

    def __init__(self, db: Database, cache: VersionedCache) -> None:
        self._db = db
        self._cache = cache

    async def get(self, member_id: UUID) -> int:
        """A member's balance."""
        cached = await self._cache.get(str(member_id))
        if cached is not None:
            return int(cached)
        found = await self._db.read(queries.get_balance, member_id)
        await self.changed([found])
        return found.balance

    async def changed(self, balances: Iterable[Balance]) -> None:
        """Tells the cache; of several balances of one member the newest stays."""
        await self._cache.put((str(b.member_id), b.version, str(b.balance)) for b in set(balances))
