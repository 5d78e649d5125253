"""Balances, read from the cache when it has them, from the database when not."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from services.common.batching import Batcher
from services.common.cache import VersionedCache
from services.common.legacy_db import Database
from services.points.balances import queries as accounts
from services.points.purchases.purchase import Balance

BALANCE_KEYS = "balance:"
"""What their keys in Redis begin with."""
_LINGER_SECONDS = 0.002


class Balances:
    """Members' balances.

    Whoever moves points calls `changed` after the commit and before answering, and `renew` when it finds
    that they were moved before.
    """

    def __init__(self, db: Database, cache: VersionedCache) -> None:
        self._db = db
        self._cache = cache
        self._reads = Batcher("balances", self._read, linger=_LINGER_SECONDS)

    async def get(self, member_id: UUID) -> tuple[int, int]:
        """A member's balance, and the points that it owes."""
        return await self._reads.submit(member_id)

    async def _read(self, member_ids: list[UUID]) -> list[tuple[int, int]]:
        """What is asked for at the same time: one question to Redis, at most one to the database."""
        known: dict[UUID, tuple[int, int]] = {}
        wanted = list(set(member_ids))
        for member_id, cached in zip(wanted, await self._cache.get_all(list(map(str, wanted))), strict=True):
            if cached is not None:
                balance, _, debt = cached.partition(" ")
                known[member_id] = int(balance), int(debt or 0)
        missing = [member_id for member_id in wanted if member_id not in known]
        if missing:
            kept = {found.member_id: found for found in await self._db.read(accounts.balances_of, missing)}
            found = [kept.get(member_id) or Balance(member_id, 0, 0) for member_id in missing]
            await self.changed(found)
            known |= {one.member_id: (one.balance, one.debt) for one in found}
        return [known[member_id] for member_id in member_ids]

    async def renew(self, member_id: UUID) -> None:
        """Tells the cache what is so: whoever moved points may have died before telling it."""
        await self.changed(await self._db.read(accounts.balances_of, [member_id]))

    async def changed(self, balances: Iterable[Balance]) -> None:
        """Tells the cache; of several balances of one member the newest stays."""
        newest: dict[UUID, Balance] = {}
        for one in balances:
            known = newest.get(one.member_id)
            if known is None or known.version < one.version:
                newest[one.member_id] = one
        await self._cache.put((str(b.member_id), b.version, in_cache(b)) for b in newest.values())


def in_cache(balance: Balance) -> str:
    """A balance as the cache holds it."""
    return f"{balance.balance} {balance.debt}" if balance.debt else str(balance.balance)
