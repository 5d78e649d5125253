"""Proves that all books agree: ledger, balance, lots, debt, purchases, and what the cache holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from services.common.cache import RedisAwayError
from services.common.db import Connection, Database, execute
from services.points.balances import LeasedCache, in_cache
from services.points.books.queries import MemberBooks, differing_books
from services.points.ledger import Balance, balances_of, list_balances

_AT_A_TIME = 1_000
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)
PATIENT_SECONDS = 2.0
"""For each call of Redis: nobody waits for this, and what is not looked at is not proved."""
_LOOKS = 5
_LOOK_SECONDS = 0.2
"""A balance is void in the cache right after the commit: one that differs is looked at again."""


class BooksChecker:
    """Goes through all members, page by page; may run while points are moved."""

    def __init__(self, db: Database, cache: LeasedCache) -> None:
        self._db = db
        self._cache = cache
        self._cache_away = False

    async def run(self, stop: asyncio.Event, report: Callable[[str], None]) -> bool:
        """Reports each difference by member, and at last how many members there are.

        Returns whether all agree. What was not looked at, because of Redis or of `stop`, does not.
        """
        after, members, different = _FIRST, 0, set[UUID]()
        while not stop.is_set():
            accounts = await self._db.read(list_balances, after=after, limit=_AT_A_TIME)
            last = accounts[-1].member_id if len(accounts) == _AT_A_TIME else _LAST
            for books in await self._db.run(_differing_books, after=after, last=last):
                different.add(books.member_id)
                for difference in books.differences:
                    report(f"member {books.member_id}: {difference}")
            for account, held in await self._differing_in_cache(accounts):
                different.add(account.member_id)
                report(
                    f"member {account.member_id}: the cache holds {held}, the balance is {in_cache(account)}"
                )
            members += len(accounts)
            after = last
            if after == _LAST:
                if self._cache_away:
                    report("Redis does not answer: not every balance was compared with the cache")
                report(f"{members} members, {len(different)} whose books do not agree")
                return not different and not self._cache_away
        report(f"stopped after {members} members")
        return False

    async def _differing_in_cache(self, accounts: Sequence[Balance]) -> Sequence[tuple[Balance, str]]:
        """Returns accounts of which the cache holds something else, however often it is looked at."""
        found: list[tuple[Balance, str]] = []
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(_LOOK_SECONDS)
                accounts = await self._db.read(balances_of, [account.member_id for account, _ in found])
            try:
                held = await self._cache.held([str(account.member_id) for account in accounts])
            except RedisAwayError:
                self._cache_away = True  # then nobody believes it either
                return []
            found = [
                (account, held[key])
                for account in accounts
                if (key := str(account.member_id)) in held and held[key] != in_cache(account)
            ]
            if not found:
                break
        return found


async def _differing_books(connection: Connection, *, after: UUID, last: UUID) -> Sequence[MemberBooks]:
    await execute(connection, "SET LOCAL statement_timeout = '5min'")
    return await differing_books(connection, after=after, last=last)
