"""A worker to be killed: `python -m services.common.tests.worker <database URL>`."""

from __future__ import annotations

import asyncio
import sys

import psycopg

from services.common.worker import run_worker


async def main(url: str) -> None:
    """Does jobs until killed; a job `slow` begins and never ends here."""

    async def slow(note: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("INSERT INTO notes (body) VALUES (%s)", [f"begun {note}"])
        await asyncio.Event().wait()

    await run_worker(url, {"slow": slow}, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
