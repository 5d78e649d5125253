"""Bring the databases to their newest schema: `python -m stack.migrate identity=<url> points=<url> ...`.

One process for all of them, which loads Alembic only when there is something to do: that takes a second.
"""

import asyncio
import sys

from services.common import schema
from services.common.db import Database


async def is_newest(service: str, url: str) -> bool:
    """Returns whether a database has the newest schema of its service."""
    database = Database(url, pool_size=1)
    try:
        return await database.read(schema.current) == schema.head(service)
    finally:
        await database.close()


def main(arguments: list[str]) -> None:
    """Upgrade each database named as `service=url`."""
    for argument in arguments:
        service, _, url = argument.partition("=")
        if not asyncio.run(is_newest(service, url)):
            from services.common.migrations import upgrade  # noqa: PLC0415

            upgrade(service, url)


if __name__ == "__main__":
    main(sys.argv[1:])
