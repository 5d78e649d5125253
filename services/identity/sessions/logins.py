"""Revocation of logins: changes of who is logged in reach the cache that every service looks into.

A change is announced before it commits and published after it. Between the two, and if this process dies in
between, every service asks identity until the announcement has expired. A change that can not be announced
begins a new epoch, which invalidates all that the cache holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from services.common.batching import Batcher
from services.common.db import Connection, Database
from services.common.errors import DomainError
from services.common.sessions import SessionCache, SessionState
from services.identity.sessions import queries
from services.identity.sessions.commands.begin_epoch import begin_epoch

log = logging.getLogger(__name__)

P = ParamSpec("P")

_TRIES = 3
"""A busy moment is no reason for a new epoch, which costs every service a read of the database per caller."""
_CHECKS_AT_ONCE = 2
"""Statements at a time, of many checks each, so that a slow one does not delay all others."""
_LEASE_SECONDS = 0.15
"""How often the cache's lease is renewed: more than twice within its duration."""


class Changes(Protocol):
    """What a command returns that may have changed who is logged in."""

    @property
    def logins(self) -> SessionState | None:
        """The state after the change, or None when nothing changed."""


C = TypeVar("C", bound=Changes)


class Logins:
    """Runs commands that change who is logged in, and knows who is."""

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
        """Runs a command as `Database.run` does, and updates the cache before and after its commit."""

        announced = True

        async def announcing(connection: Connection) -> C:
            nonlocal announced
            changed = await command(connection, *args, **kwargs)
            if changed.logins:
                announced = await _retry(partial(self._cache.mark_in_doubt, changed.logins))
                if not announced:
                    await begin_epoch(connection)
            return changed

        changed = await self._db.run(announcing)
        if changed.logins and announced:
            await _retry(partial(self._cache.settle, changed.logins))
        return changed

    async def check(self, subject_id: str) -> SessionState:
        """Returns somebody's active logins, by the database, and puts them into the cache.

        Concurrent checks are read together, so that many callers without an entry in Redis do not take all
        connections. Raises OVERLOADED and DEPENDENCY_UNAVAILABLE.
        """
        return await self._checks.submit(subject_id)

    async def check_all(self, subject_ids: Sequence[str]) -> Sequence[SessionState]:
        """Returns the active logins of at most 200 people, in their order. Raises as `check` does."""
        states: list[SessionState] = []
        for outcome in await self._checks.submit_all(subject_ids):
            if isinstance(outcome, Exception):
                raise outcome
            states.append(outcome)
        return states

    async def _check(self, subject_ids: list[str]) -> list[SessionState]:
        wanted = list(dict.fromkeys(subject_ids))
        read = partial(self._db.read, queries.session_states, [UUID(one) for one in wanted])
        states = dict(zip(wanted, await self._cache.fill(wanted, read), strict=True))
        return [states[subject_id] for subject_id in subject_ids]

    async def keep_lease(self) -> None:
        """Renews the lease under which the cache's entries are valid. Runs until cancelled."""
        while True:
            try:
                await self._cache.renew_lease(partial(self._db.read, queries.session_epoch))
            except DomainError as error:
                log.debug("the lease of the logins in Redis was not renewed: %s", error)
            await asyncio.sleep(_LEASE_SECONDS)


async def _retry(write: Callable[[], Awaitable[bool]]) -> bool:
    """Returns whether one of three tries to write to the cache succeeded."""
    for _ in range(_TRIES):
        if await write():
            return True
    return False
