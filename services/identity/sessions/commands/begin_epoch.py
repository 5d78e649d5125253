"""Invalidating all cached states of logins at once."""

from __future__ import annotations

from services.common.db import Connection, execute


async def begin_epoch(connection: Connection) -> None:
    """Begins a new epoch, so that no service believes a login's state that was read before this commits.

    The row is one for all: those who begin an epoch at once wait for each other, last thing before they
    commit.
    """
    await execute(connection, "UPDATE session_epochs SET epoch = gen_random_uuid()")
