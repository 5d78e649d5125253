"""Work for later: made with its effect, done at least once, and never given up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job

from services.common import jobs
from services.common import worker as worker_module
from services.common.db import Connection, Database
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.paging import Page
from services.common.set_aside import SET_ASIDE, retry_now
from services.common.tests.test_db import execute, named, refused, terminate
from services.common.worker import run_worker
from stack.settings import ROOT
from tests.inprocess import eventually


class Worker:
    """A worker in this process, and what it did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.done: list[tuple[str, float]] = []
        self.fail: dict[str, int] = {}
        self.hold = asyncio.Event()
        self.held: set[str] = set()
        self.tasks: dict[str, jobs.Task] = {"note": self._note, "slow": self._note}

    @property
    def notes(self) -> list[str]:
        """The notes of the jobs that were begun, in order."""
        return [note for note, _ in self.done]

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
        """The worker while it runs."""
        stop = asyncio.Event()
        task = asyncio.create_task(run_worker(self.url, self.tasks, stop, **options))
        try:
            yield task
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await asyncio.wait([task])

    async def _note(self, note: str) -> None:
        self.done.append((note, time.monotonic()))
        if note in self.held:
            await self.hold.wait()
        if self.fail.get(note, 0) > 0:
            self.fail[note] -= 1
            raise DomainError("DEPENDENCY_UNAVAILABLE", "not now")


@pytest.fixture
async def worker(database_url: str, db: Database) -> AsyncIterator[Worker]:
    """A worker with an empty queue."""
    yield Worker(database_url)
    await db.run(execute, "DELETE FROM procrastinate_jobs")
    await db.run(execute, "DELETE FROM procrastinate_workers")
    await db.run(execute, "DELETE FROM set_aside")


@pytest.fixture
def note() -> str:
    """A text that no other test has."""
    return str(new_id())


async def defer(db: Database, *notes: str, name: str = "note", lock: str | None = None) -> None:
    """Commits jobs."""

    async def make(connection: Connection) -> None:
        for note in notes:
            await jobs.defer(connection, name, lock=lock, note=note)

    await db.run(make)


async def waiting(db: Database) -> int:
    """Returns how many jobs there are."""
    count = await db.read(execute, "SELECT count(*) FROM procrastinate_jobs")
    assert isinstance(count, int)
    return count


def settled(db: Database, worker: Worker, notes: list[str]) -> Callable[[], Awaitable[None]]:
    """Returns a check that exactly these notes were made and nothing is left to do."""

    async def check() -> None:
        assert worker.notes == notes
        assert await waiting(db) == 0

    return check


async def test_a_job_exists_exactly_when_its_effect_does(db: Database, worker: Worker, note: str) -> None:
    async def act(connection: Connection, *, refuse: bool) -> None:
        await execute(connection, "INSERT INTO notes (body) VALUES (%(note)s)", note=note)
        await jobs.defer(connection, "note", note=note)
        if refuse:
            raise DomainError("SOLD_OUT", "none left")

    await refused(db.run(act, refuse=True))
    assert await waiting(db) == 0
    await db.run(act, refuse=False)
    assert await waiting(db) == 1
    assert await db.read(execute, "SELECT count(*) FROM notes WHERE body = %(note)s", note=note) == 1


async def test_a_job_is_not_seen_before_its_commit_and_done_at_once_after_it(
    db: Database, worker: Worker, note: str
) -> None:
    async def slowly(connection: Connection) -> float:
        await jobs.defer(connection, "note", note=note)
        await asyncio.sleep(1.2)  # longer than the worker waits between two looks
        assert worker.notes == []
        return time.monotonic()

    async with worker.running():
        committed = await db.run(slowly)
        await eventually(settled(db, worker, [note]))
    assert worker.done[0][1] - committed < 0.8


@dataclass(frozen=True)
class Afternoon:
    """What a worker did in some seconds, and how long it had been silent at the end of them."""

    begun: list[tuple[str, float]]
    silent: float
    left: int

    def moments(self, note: str) -> list[float]:
        """Returns when a job was begun."""
        return [moment for begun, moment in self.begun if begun == note]

    def order(self, *notes: str) -> list[str]:
        """Returns these jobs in the order in which they were begun."""
        return [note for note, _ in self.begun if note in notes]


@pytest.fixture(scope="module")
async def afternoon(database_url: str, db: Database) -> Afternoon:
    """A job that fails twice, three with one lock of which the first fails once, and one that lasts."""
    worker = Worker(database_url)
    worker.held = {"long"}
    worker.fail = {"failing": 2, "first": 1}
    age = "SELECT extract(epoch FROM now() - min(last_heartbeat)) FROM procrastinate_workers"
    async with worker.running():
        await defer(db, "first", "second", "third", lock="one")
        await defer(db, "failing", "long", "free")

        async def tried_thrice() -> None:  # which takes three seconds at least
            assert worker.notes.count("failing") == 3

        await eventually(tried_thrice)
        silent = float(str(await db.read(execute, age)))
        worker.hold.set()

        async def finished() -> None:
            assert await waiting(db) == 0

        await eventually(finished)
    return Afternoon(list(worker.done), silent, await waiting(db))


async def test_a_failing_job_is_tried_again_after_growing_waits(afternoon: Afternoon) -> None:
    first, second, third = afternoon.moments("failing")
    assert 0.9 < second - first < 3.2
    assert 1.9 < third - second < 4.2
    assert afternoon.left == 0


def waits_after(error: Exception, attempts: list[int]) -> list[int]:
    """Returns how long a job waits, in seconds, that failed so after these numbers of attempts."""
    job = Job(id=1, queue="", lock=None, queueing_lock=None, task_name="note")
    waits = []
    for number in attempts:
        decision = worker_module._Forever().get_retry_decision(
            exception=error, job=job.evolve(attempts=number)
        )
        assert decision.retry_at is not None
        waits.append(round(decision.retry_at.timestamp() - time.time()))
    return waits


def test_waits_double_up_to_half_a_minute_and_never_end() -> None:
    away = DomainError("DEPENDENCY_UNAVAILABLE", "not now")
    assert waits_after(away, [*range(8), 100, 100_000]) == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_a_job_that_fails_by_a_defect_waits_up_to_a_quarter_of_an_hour_in_the_end() -> None:
    assert waits_after(ValueError(), [0, 4, 14]) == [1, 16, 30]
    assert waits_after(ValueError(), [15, 16, 17, 18, 19, 100, 100_000]) == [60, 120, 240, 480, 900, 900, 900]


async def test_a_failed_job_is_told_with_its_traceback_and_set_aside_until_it_succeeds(
    db: Database, worker: Worker, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = asyncio.Event()
    error = ValueError("Ada Lovelace")

    async def fails(note: str) -> None:
        if not broken.is_set():
            raise error
        worker.done.append((note, time.monotonic()))

    async def kept() -> None:
        query = "SELECT count(*) FROM set_aside WHERE kind = 'JOB' AND attempts > 1 AND error = %(error)s"
        assert await db.read(execute, query, error="note: ValueError") == 1

    async def well() -> None:
        assert note in worker.notes
        assert await db.read(execute, "SELECT count(*) FROM set_aside") == 0

    worker.tasks["note"] = fails
    async with worker.running():
        await defer(db, note)
        await eventually(kept)
        [one], _ = await db.read(SET_ASIDE.page, page=Page(50, ""))
        assert (one.kind, one.error) == ("JOB", "note: ValueError")
        told = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert error in told
        broken.set()
        await db.run(retry_now, kind="JOB", subject_id=one.id)
        await eventually(well)


async def test_a_dependency_that_is_away_sets_no_job_aside(db: Database, worker: Worker, note: str) -> None:
    worker.fail = {note: 1}
    async with worker.running():
        await defer(db, note)
        await eventually(settled(db, worker, [note, note]))
    assert await db.read(execute, "SELECT count(*) FROM set_aside") == 0


async def test_jobs_with_one_lock_keep_their_order_even_when_one_fails(afternoon: Afternoon) -> None:
    assert afternoon.order("first", "second", "third") == ["first", "first", "second", "third"]
    [free] = afternoon.moments("free")
    assert free < afternoon.moments("first")[1], "others do not wait for them"


async def test_jobs_without_a_lock_run_side_by_side_but_only_so_many(db: Database, worker: Worker) -> None:
    worker.held = {f"{n}" for n in range(9)}

    async def four() -> None:
        assert len(worker.notes) == 4

    async with worker.running(queues={jobs.DEFAULT_QUEUE: 4}):
        await defer(db, *(f"{n}" for n in range(9)))
        await eventually(four)
        await asyncio.sleep(0.2)
        await four()
        worker.hold.set()
        await eventually(settled(db, worker, [f"{n}" for n in range(9)]))


async def test_a_job_of_a_killed_worker_is_queued_again(
    db: Database, worker: Worker, note: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, requeue = 0, worker_module._requeue_stalled

    async def counted(app: App) -> None:
        nonlocal looks
        await requeue(app)
        looks += 1

    async def looked_twice() -> None:
        assert looks >= 2

    monkeypatch.setattr(worker_module, "_requeue_stalled", counted)
    await defer(db, note, name="slow")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.common.tests.worker", database_url, cwd=ROOT
    )

    async def begun() -> None:
        query = "SELECT count(*) FROM notes WHERE body = %(note)s"
        assert await db.read(execute, query, note=f"begun {note}") == 1

    try:
        await eventually(begun, seconds=10)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    async with worker.running():
        await eventually(looked_twice)
        assert worker.notes == [], "the worker was silent for less than 10 s"
        # Lets time pass.
        await db.run(
            execute, "UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '7 s'"
        )
        await eventually(settled(db, worker, [note]), seconds=8)


async def test_a_living_worker_keeps_its_long_job(afternoon: Afternoon) -> None:
    assert len(afternoon.moments("long")) == 1
    assert afternoon.silent < 2.9, "it says every 2 s that it lives"


async def test_workers_that_queue_stalled_jobs_again_at_once_do_not_fail(
    db: Database, worker: Worker, database_url: str
) -> None:
    await defer(db, *(f"{n}" for n in range(30)))
    await db.run(execute, "UPDATE procrastinate_jobs SET status = 'doing'")
    apps = [App(connector=PsycopgConnector(conninfo=database_url)) for _ in range(3)]
    for app in apps:
        await app.open_async()
    await asyncio.gather(*(worker_module._requeue_stalled(app) for app in apps))
    for app in apps:
        await app.close_async()
    assert await db.read(execute, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 30


async def test_a_job_that_only_a_newer_version_knows_waits_for_it(
    db: Database, worker: Worker, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_MAX_WAIT_SECONDS", 1)
    old = Worker(worker.url)
    del old.tasks["note"]

    async def seen() -> None:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed' OR attempts > 0"
        assert await db.read(execute, query) == 1

    async with old.running():
        await defer(db, note)
        await eventually(seen)
    async with worker.running():
        await eventually(settled(db, worker, [note]), seconds=8)


async def test_a_stopping_worker_finishes_what_it_has_begun_and_begins_nothing(
    db: Database, worker: Worker
) -> None:
    worker.held = {"first"}

    async def begun() -> None:
        assert worker.notes == ["first"]

    async with worker.running(queues={jobs.DEFAULT_QUEUE: 1}) as task:
        await defer(db, "first", "second")
        await eventually(begun)
        asyncio.get_running_loop().call_later(0.5, worker.hold.set)
    assert task.exception() is None
    assert worker.notes == ["first"]
    assert await waiting(db) == 1


async def test_loops_run_beside_the_jobs_and_end_with_the_worker(worker: Worker) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async with worker.running(loops=[turn]):
        await asyncio.sleep(0.5)
    ended = turns
    assert ended > 3
    await asyncio.sleep(0.05)
    assert turns == ended


async def test_a_loop_that_fails_ends_neither_jobs_nor_other_loops_and_is_begun_again(
    db: Database, worker: Worker, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun, turns = 0, 0

    async def broken() -> None:
        nonlocal begun
        begun += 1
        raise ValueError("broken")

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async def again() -> None:
        assert begun >= 2

    async with worker.running(loops=[broken, turn]) as task:
        await defer(db, note)
        await eventually(settled(db, worker, [note]))
        await eventually(again)
        before = turns
        await asyncio.sleep(0.1)
        assert turns > before
        assert not task.done()
    assert task.exception() is None
    assert any(record.exc_info and record.exc_info[0] is ValueError for record in caplog.records)


async def test_a_queue_whose_worker_fails_ends_no_other_and_is_begun_again(
    db: Database, worker: Worker, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_off, failed = worker_module._work_off, 0

    async def fails_twice(app: App, queue: str, concurrency: int) -> None:
        nonlocal failed
        if queue == "slow" and failed < 2:
            failed += 1
            raise ValueError("broken")
        await work_off(app, queue, concurrency)

    monkeypatch.setattr(worker_module, "_work_off", fails_twice)

    async def make(connection: Connection) -> None:
        await jobs.defer(connection, "note", note=note)
        await jobs.defer(connection, "note", queue="slow", note=f"slow {note}")

    async with worker.running(queues={"slow": 1}):
        await db.run(make)
        await eventually(settled(db, worker, [note, f"slow {note}"]))
    assert failed == 2


async def test_a_worker_survives_the_loss_of_its_connections(
    db: Database, worker: Worker, note: str, database_url: str
) -> None:
    worker.url = named(database_url, "worker")
    async with worker.running():
        await asyncio.sleep(0.3)
        assert await terminate(database_url, "worker") > 0
        await defer(db, note)
        await eventually(settled(db, worker, [note]), seconds=8)


async def test_deferring_on_a_connection_that_died_is_unavailable(database_url: str) -> None:
    db = Database(named(database_url, "deferring"), pool_size=1)

    async def act(connection: Connection) -> None:
        await connection.execute("SELECT 1")
        await terminate(database_url, "deferring")
        await jobs.defer(connection, "note", note="x")

    assert (await refused(db.run(act))).reason == "DEPENDENCY_UNAVAILABLE"
    await db.close()
