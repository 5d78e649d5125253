"""Chores and loops go on whatever fails, and tell what did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.common import housekeeping
from services.common.errors import DomainError, OutcomeUnknownError, unavailable
from services.common.housekeeping import Failures, end, keep_running, repeat
from tests.waiting import eventually


@asynccontextmanager
async def beside(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """The work, for the time of a `with` block."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        await end([task])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits after failures are short."""
    monkeypatch.setattr(housekeeping, "_LONGEST_WAIT", 0.01)
    monkeypatch.setattr(housekeeping, "_LONGEST_WAIT_AWAY", 0.01)


def at_least(turns: list[int], count: int) -> Callable[[], Awaitable[None]]:
    """Returns a check that so many turns were taken."""

    async def check() -> None:
        assert len(turns) >= count

    return check


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "error", [ValueError("broken"), KeyError("kid"), DomainError("VALIDATION_FAILED", "no"), unavailable("x")]
)
async def test_a_chore_that_fails_is_done_again(error: Exception) -> None:
    turns: list[int] = []

    async def chore() -> None:
        turns.append(1)
        raise error

    async with beside(repeat(0.01, chore)) as task:
        await eventually(at_least(turns, 3))
        assert not task.done()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["fails", "returns"])
async def test_a_loop_that_ends_is_begun_again(how: str) -> None:
    turns: list[int] = []

    async def loop() -> None:
        turns.append(1)
        if how == "fails":
            raise ValueError("broken")

    async with beside(keep_running(loop)) as task:
        await eventually(at_least(turns, 3))
        assert not task.done()


async def test_what_is_told_to_end_ends_at_once() -> None:
    async def loop() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running(loop))
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()


def test_waits_double_up_to_a_minute_and_begin_anew_after_a_success() -> None:
    failures = Failures("it")
    assert [failures.note(ValueError()) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    failures.over()
    assert failures.note(ValueError()) == 1


def test_what_is_away_is_asked_every_five_seconds_at_least() -> None:
    failures = Failures("it")
    assert [failures.note(unavailable("database")) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_defect_is_told_each_time_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures("the chore")
    error, unforeseen = ValueError("broken"), OutcomeUnknownError("promos", failed=True)
    for one in (error, error, unforeseen):
        failures.note(one)
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert told == [error, error, unforeseen]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "the chore failed, 2 times in a row" in caplog.text


def test_an_outage_is_told_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = Failures("the chore")
    for _ in range(3):
        failures.note(unavailable("database"))
    failures.over()
    failures.over()
    assert [record.getMessage() for record in caplog.records] == [
        "the chore waits: DEPENDENCY_UNAVAILABLE: database does not answer; try again with the same key",
        "the chore goes on",
    ]
