"""Balances, read from the cache when it has them, from the database when not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from services.common.batching import Batcher
from services.common.db import Database
from services.points.balances.leased_cache import LeasedCache
from services.points.ledger import Balance, balances_of

BALANCE_KEYS = "balance:"
"""What their keys in Redis begin with."""


class Points(NamedTuple):
    """A member's balance, and the points that it owes."""

    balance: int
    debt: int


class Balances:
    """Members' balances.

    A caller that moves points calls `void` after the commit and before its response. So does one that finds
    them moved before: the process that moved them may have died in between.
    """

    def __init__(self, db: Database, cache: LeasedCache) -> None:
        self._db = db
        self._cache = cache
        self._reads = Batcher("balances", self._read)

    async def get(self, member_id: UUID) -> Points:
        """Returns a member's balance and debt; one who never had points has none."""
        return await self._reads.submit(member_id)

    async def void(self, member_ids: Iterable[UUID]) -> None:
        """Voids what the cache holds of these members."""
        await self._cache.void({str(member_id) for member_id in member_ids})

    async def changed(self, balances: Iterable[Balance]) -> None:
        """Voids what the cache holds of these accounts."""
        await self.void(one.member_id for one in balances)

    async def _read(self, member_ids: list[UUID]) -> list[Points]:
        """Reads what is asked for at the same time: at most one statement."""
        wanted = list(map(str, dict.fromkeys(member_ids)))
        found = dict(zip(wanted, await self._cache.get_all(wanted, self._load), strict=True))
        return [_from_cache(found[str(member_id)]) for member_id in member_ids]

    async def _load(self, keys: list[str]) -> list[str]:
        accounts = await self._db.read(balances_of, list(map(UUID, keys)))
        known = {str(account.member_id): in_cache(account) for account in accounts}
        return [known.get(key, "0") for key in keys]


def in_cache(account: Balance) -> str:
    """Returns a balance as the cache holds it."""
    return f"{account.balance} {account.debt}" if account.debt else str(account.balance)


def _from_cache(value: str) -> Points:
    balance, _, debt = value.partition(" ")
    return Points(int(balance), int(debt or 0))
