"""New databases of services. The migrations run once; each database is a copy of what came of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock

from services.common import migrations
from services.common.ids import new_id
from stack.postgres import Postgres

_migrated: set[tuple[Path, str]] = set()
_lock = Lock()


async def new_database(postgres: Postgres, service: str, name: str = "") -> str:
    """Returns the URL of a new database of a service: all of its tables, empty."""
    return await asyncio.to_thread(_copy, postgres, service, name or f"{service}_{new_id().hex}")


def _copy(postgres: Postgres, service: str, name: str) -> str:
    original = f"original_{service}"
    with _lock:
        if (postgres.folder, service) not in _migrated:
            postgres.create_database(original)
            migrations.upgrade(service, postgres.url(original))
            _migrated.add((postgres.folder, service))
        postgres.create_database(name, template=original)
    return postgres.url(name)
