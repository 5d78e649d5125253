"""Which version a service's database has, and which one the code needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.common.db import Connection, Database, fetch_value
from services.common.errors import DomainError

_CHECK_SECONDS = 2
_SERVICES = Path(__file__).resolve().parent.parent


def head(service: str) -> str:
    """Returns the newest version that the code knows; files are named after it, `0001_initial.py`."""
    versions = sorted((_SERVICES / service / "migrations" / "versions").glob("[0-9]*.py"))
    return versions[-1].name.partition("_")[0]


async def current(connection: Connection) -> str | None:
    """Returns the version of the database, or None when it was never migrated."""
    if not await fetch_value(connection, "SELECT to_regclass('alembic_version') IS NOT NULL"):
        return None
    version: str | None = await fetch_value(connection, "SELECT version_num FROM alembic_version")
    return version


def at_head(service: str, db: Database) -> Callable[[], Awaitable[bool]]:
    """Returns a check that the database responds and has the version that the code needs."""
    needed = head(service)

    async def check() -> bool:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await db.read(current) == needed
        except (DomainError, TimeoutError):
            return False

    return check
