"""Who is logged in, told to the cache that every service looks into.

A change is announced as a doubt before it commits and told after: whoever looks in between asks
identity, and if this process dies in between, everybody keeps asking until the doubt has faded. A change
that can not be announced begins a new epoch, after which nobody believes what the cache still holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from services.common.batching import Batcher
from services.common.errors import DomainError
from services.common.legacy_db import Connection, Database
from services.common.sessions import SessionCache, SessionState
from services.identity.logins import queries as accounts
from services.identity.logins.commands.begin_epoch import begin_epoch

log = logging.getLogger(__name__)

P = ParamSpec("P")

_TRIES = 3
"""A busy moment is no reason for a new epoch, which costs every service a look at the database per caller."""
_CHECKS_AT_ONCE = 2
"""Statements, of many checks each, lest one that is slow holds up all others."""
_VOUCH_SECONDS = 0.15
"""Twice within the time that a vouching holds."""


class Changes(Protocol):
    """What a command answers that changed who is logged in."""

    @property
    def logins(self) -> SessionState | None:
        """The state after the change, or None when nothing changed."""


C = TypeVar("C", bound=Changes)


class Logins:
    """Runs commands that change who is logged in, and answers who is."""

    def __init__(self, db: Database, cache: SessionCache) -> None:
        self._db = db
        self._cache = cache
        self._checks = Batcher("session_checks", self._check, max_parallel=_CHECKS_AT_ONCE)

    async def run(
        self,
        command: Callable[Concatenate[Connection, P], Awaitable[C]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> C:
        """Runs a command as `Database.run` does, and tells the cache before and after."""

        told = True

        async def announced(connection: Connection) -> C:
            nonlocal told
            changed = await command(connection, *args, **kwargs)
            if changed.logins:
                told = await _insist(partial(self._cache.doubt, changed.logins))
                if not told:
                    await begin_epoch(connection)
            return changed

        changed = await self._db.run(announced)
        if changed.logins and told:
            await _insist(partial(self._cache.settle, changed.logins))
        return changed

    async def check(self, subject_id: str) -> SessionState:
        """Somebody's active logins, by the database; the cache hears of it.

        Those who are asked about at the same time are read together, lest a crowd that finds no answer in
        Redis takes all connections. Raises OVERLOADED and DEPENDENCY_UNAVAILABLE.
        """
        return await self._checks.submit(subject_id)

    async def check_all(self, subject_ids: Sequence[str]) -> Sequence[SessionState]:
        """The same of at most 200 people, in their order."""
        states: list[SessionState] = []
        for outcome in await self._checks.submit_all(subject_ids):
            if isinstance(outcome, Exception):
                raise outcome
            states.append(outcome)
        return states

    async def _check(self, subject_ids: list[str]) -> list[SessionState]:
        wanted = list(dict.fromkeys(subject_ids))
        read = partial(self._db.read, accounts.session_states, [UUID(one) for one in wanted])
        states = dict(zip(wanted, await self._cache.fill(wanted, read), strict=True))
        return [states[subject_id] for subject_id in subject_ids]

    async def keep_vouching(self) -> None:
        """Vouches for what the cache holds, again and again. Runs until cancelled."""
        while True:
            try:
                await self._cache.vouch(partial(self._db.read, accounts.session_epoch))
            except DomainError as error:
                log.debug("nobody vouches for the logins in Redis: %s", error)
            await asyncio.sleep(_VOUCH_SECONDS)


async def _insist(tell: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(_TRIES):
        if await tell():
            return True
    return False
