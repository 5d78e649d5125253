"""A database that is away is waited for by workers, told once, and found again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from services.common import jobs, migrations
from services.common.db import Connection, Database
from services.common.housekeeping import repeat
from services.common.tests.test_db import execute
from services.common.tests.test_jobs import Worker
from stack.postgres import Postgres
from tests.waiting import eventually

SEVERAL_TRIES_SECONDS = 8.0
"""Each part of a worker that waits tries again after 5 s at most."""


@dataclass
class Own:
    """A server that the test may stop, a worker on it, and a chore of that worker."""

    server: Postgres
    worker: Worker
    db: Database
    chores: int = 0

    async def chore(self) -> None:
        """Needs the database."""
        await self.db.read(execute, "SELECT 1")
        self.chores += 1

    def done(self, note: str) -> Callable[[], Awaitable[None]]:
        """Returns a check that a job was done."""

        async def check() -> None:
            assert note in self.worker.notes

        return check

    async def defer(self, note: str) -> None:
        """Queues a job."""
        await self.db.run(_defer, note)


async def _defer(connection: Connection, note: str) -> None:
    await jobs.defer(connection, "note", note=note)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    """A server of the test's own, which runs."""
    server = Postgres(tmp_path / "postgres", fsync=False)
    server.start()
    server.create_database("own")
    await asyncio.to_thread(migrations.upgrade, "promos", server.url("own"))
    db = Database(server.url("own"), pool_size=2)
    yield Own(server, Worker(server.url("own")), db)
    await db.close()
    server.stop()


async def test_a_worker_that_finds_no_database_at_its_start_waits_for_it(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    await own.defer("before")
    await asyncio.to_thread(own.server.stop)

    async def told() -> None:
        assert "the job queue waits" in caplog.text

    async with own.worker.running() as task:
        await eventually(told)
        await asyncio.to_thread(own.server.start)
        await eventually(own.done("before"))
        assert not task.done()
    assert task.exception() is None


async def test_a_worker_waits_for_a_database_that_goes_away_and_tells_it_once(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    async with own.worker.running(loops=[partial(repeat, 0.1, own.chore)]) as task:
        await own.defer("before")
        await eventually(own.done("before"))
        await asyncio.to_thread(own.server.stop)

        async def noticed() -> None:
            assert "Own.chore waits" in caplog.text

        await eventually(noticed)
        await asyncio.sleep(SEVERAL_TRIES_SECONDS)
        told = [record for record in caplog.records if record.levelno >= logging.WARNING]
        words = [record.getMessage() for record in told]
        assert len(words) == len(set(words)), words
        assert not any(record.exc_info for record in told)
        before = own.chores
        await asyncio.to_thread(own.server.start)
        await own.defer("after")
        await eventually(own.done("after"))

        async def goes_on() -> None:
            assert own.chores > before

        await eventually(goes_on)
        assert not task.done()
    assert task.exception() is None


async def test_a_worker_can_be_stopped_while_its_database_is_away(own: Own) -> None:
    await asyncio.to_thread(own.server.stop)
    async with own.worker.running() as task:
        await asyncio.sleep(0.5)
    assert task.done()
    assert task.exception() is None
