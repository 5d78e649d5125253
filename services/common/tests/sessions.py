"""Helpers for the tests of the cache and the gate of logins."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.common.sessions import ACTIVE, SessionCache, SessionState
from stack.redis import Redis as RedisServer

EPOCH = "epoch-1"
Servers = tuple[RedisServer, SessionCache]


def state(version: int, *sessions: str, epoch: str = EPOCH, status: str = ACTIVE) -> SessionState:
    return SessionState("ada", version, status, frozenset(sessions), epoch)


async def the_epoch() -> str:
    return EPOCH


async def another_epoch() -> str:
    return "epoch-2"


@contextmanager
def hung(server: RedisServer) -> Iterator[None]:
    """Suspends a server: it takes connections and never replies."""
    assert server._process
    pid = server._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def state_in(cache: SessionCache, *, want: SessionState | None) -> SessionState | None:
    """Returns what the cache has once it is as wanted, or after two seconds."""
    deadline = time.monotonic() + 2.0
    while (found := await cache.get("ada")) != want and time.monotonic() < deadline:
        await cache.renew_lease(the_epoch)
    return found


async def commit_change(cache: SessionCache, changed: SessionState) -> bool:
    """Writes a change as identity does, before and after its commit; returns whether Redis took it."""
    return await cache.mark_in_doubt(changed) and await cache.settle(changed)


async def filled(cache: SessionCache, found: SessionState) -> None:
    """Somebody reads the state in the database."""

    async def read() -> list[SessionState]:
        return [found]

    assert await cache.fill([found.subject_id], read) == [found]


async def forgotten(cache: SessionCache) -> None:
    """Redis has forgotten all states; identity goes on renewing the lease."""
    await cache._server.client.flushall()
    await cache.renew_lease(the_epoch)
