"""Many concurrent calls, one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from services.common.batching import Batcher, Room, SingleFlight
from services.common.errors import DomainError, OutcomeUnknownError, overloaded, unavailable

Work = Callable[[list[int]], Awaitable[Sequence[int | DomainError]]]


class Recorder:
    """Doubles numbers, remembers the batches, and fails on demand."""

    def __init__(self, *, bad: int | None = None, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._bad = bad
        self._error = error or ValueError("bad row")

    async def __call__(self, items: list[int]) -> Sequence[int | DomainError]:
        self.batches.append(list(items))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        if self._bad in items:
            raise self._error
        return [2 * item for item in items]


async def test_calls_of_one_moment_share_one_run_and_each_gets_its_own_result() -> None:
    work = Recorder()
    batcher = Batcher("numbers", work)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(150)))
    assert results == [2 * n for n in range(150)]
    assert work.batches == [list(range(150))]


async def test_a_call_that_comes_a_moment_later_still_joins() -> None:
    work = Recorder()
    batcher = Batcher("numbers", work)

    async def later() -> int:
        await asyncio.sleep(0)
        return await batcher.submit(2)

    assert list(await asyncio.gather(batcher.submit(1), later())) == [2, 4]
    assert work.batches == [[1, 2]]


async def test_batches_are_bounded_and_keep_the_order_of_arrival() -> None:
    work = Recorder()
    batcher = Batcher("numbers", work, max_batch=20, max_parallel=1)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(95)))
    assert results == [2 * n for n in range(95)]
    assert [len(batch) for batch in work.batches] == [20, 20, 20, 20, 15]
    assert [n for batch in work.batches for n in batch] == list(range(95))


async def test_a_lone_call_does_not_wait_for_company() -> None:
    batcher = Batcher("numbers", Recorder())
    async with asyncio.timeout(0.5):
        assert await batcher.submit(4) == 8


async def test_no_more_runs_at_once_than_allowed() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work, max_batch=1, max_parallel=3)
    calls = []
    for n in range(10):  # each in a turn of its own
        calls.append(asyncio.create_task(batcher.submit(n)))
        await asyncio.sleep(0.001)
    work.gate.set()
    await asyncio.gather(*calls)
    assert work.most_at_once == 3


async def test_calls_that_arrive_during_a_run_are_answered_by_the_next() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work, max_parallel=1)
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(batcher.submit(n)) for n in (2, 3)]
    await asyncio.sleep(0.01)
    work.gate.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


async def test_errors_among_the_results_reach_their_callers_alone() -> None:
    async def work(items: list[int]) -> Sequence[int | DomainError]:
        return [DomainError("SOLD_OUT", "gone") if item == 2 else item for item in items]

    results = await asyncio.gather(*_submit_all(Batcher("numbers", work), 4), return_exceptions=True)
    assert [r.reason if isinstance(r, DomainError) else r for r in results] == [0, 1, "SOLD_OUT", 3]


async def test_a_bad_item_fails_alone() -> None:
    work = Recorder(bad=37)
    results = await asyncio.gather(*_submit_all(Batcher("numbers", work), 64), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, ValueError)] == [37]
    assert [result for result in results if isinstance(result, int)] == [2 * n for n in range(64) if n != 37]
    assert len(work.batches) == 13  # halves: two for each of the six levels below the first


@pytest.mark.parametrize(
    "error",
    [unavailable("database"), OutcomeUnknownError("identity"), overloaded("database")],
    ids=lambda error: error.reason,
)
async def test_what_all_items_wait_for_is_not_waited_for_again(error: DomainError) -> None:
    work = Recorder(bad=37, error=error)
    results = await asyncio.gather(*_submit_all(Batcher("numbers", work), 64), return_exceptions=True)
    assert results == [error] * 64
    assert len(work.batches) == 1


async def test_a_caller_that_goes_away_harms_nobody() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(10)]
    await asyncio.sleep(0.01)
    for call in calls[::3]:
        call.cancel()
    work.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == [2 * n for n in range(10) if n % 3]
    assert sum(isinstance(r, asyncio.CancelledError) for r in results) == 4
    assert await batcher.submit(5) == 10


async def test_a_caller_that_goes_away_from_a_failing_batch_harms_nobody() -> None:
    work = Recorder(bad=1)
    work.gate.clear()
    batcher = Batcher("numbers", work)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(4)]
    await asyncio.sleep(0.01)
    calls[1].cancel()
    work.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == [0, 4, 6]


async def test_a_full_queue_refuses_and_takes_calls_again_when_it_has_room() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work, max_batch=2, max_waiting=5, max_parallel=1)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(2)]
    await asyncio.sleep(0.01)  # these two run
    calls += [asyncio.create_task(batcher.submit(n)) for n in range(2, 7)]
    await asyncio.sleep(0.01)  # these five wait
    with pytest.raises(DomainError) as refused:
        await batcher.submit(7)
    assert (refused.value.reason, refused.value.metadata) == ("OVERLOADED", {"queue": "numbers"})
    work.gate.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8, 10, 12]
    assert await batcher.submit(7) == 14


async def test_a_wrong_number_of_results_is_an_error_and_leaves_nobody_waiting() -> None:
    runs = []

    async def work(items: list[int]) -> Sequence[int | DomainError]:
        runs.append(items)
        return items[1:]

    batcher = Batcher("numbers", work)
    async with asyncio.timeout(2):
        results = await asyncio.gather(*_submit_all(batcher, 3), return_exceptions=True)
    assert [type(result) for result in results] == [AssertionError] * 3
    assert len(runs) == 1


async def test_closing_waits_for_what_is_under_way() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work)
    call = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    work.gate.set()
    async with asyncio.timeout(1):
        await closing
    assert call.done()
    assert await call == 2


async def test_who_comes_in_the_moment_in_which_a_run_ends_is_served() -> None:
    batcher = Batcher("numbers", Recorder())
    async with asyncio.timeout(2):
        # Each is submitted by the one before, as soon as its result is there.
        for number in range(10):
            assert await batcher.submit(number) == 2 * number


class Slow:
    """Doubles numbers when it is let to, and remembers the questions."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, number: int) -> int:
        self.asked.append(number)
        await self.go.wait()
        if self.error:
            raise self.error
        return 2 * number


async def later(count: int, flight: SingleFlight[int, int], number: int) -> list[asyncio.Task[int]]:
    """So many who ask, when all of them have asked."""
    tasks = [asyncio.create_task(flight.ask(number)) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


class TestSingleFlight:
    async def test_those_who_ask_at_once_share_a_question(self) -> None:
        slow = Slow()
        slow.go.set()
        flight = SingleFlight("numbers", slow)
        assert await asyncio.gather(*(flight.ask(n % 2) for n in range(50))) == [0, 2] * 25
        assert sorted(slow.asked) == [0, 1]

    async def test_nobody_gets_the_answer_to_an_earlier_question(self) -> None:
        slow = Slow()
        flight = SingleFlight("numbers", slow)
        first = await later(1, flight, 1)
        second = await later(60, flight, 1)
        other = await later(1, flight, 2)
        assert slow.asked == [1, 2], "those who came while it was asked wait, others do not"
        slow.go.set()
        assert await asyncio.gather(*first, *second, *other) == [2] * 61 + [4]
        assert slow.asked == [1, 2, 1]
        assert await flight.ask(1) == 2
        assert slow.asked == [1, 2, 1, 1], "an answer is not kept"

    async def test_a_failure_is_of_those_who_asked(self) -> None:
        slow = Slow()
        flight = SingleFlight("numbers", slow)
        slow.error = unavailable("identity")
        asked = await later(3, flight, 1)
        slow.go.set()
        assert await asyncio.gather(*asked, return_exceptions=True) == [slow.error] * 3
        slow.error = None
        assert await flight.ask(1) == 2

    async def test_a_caller_that_goes_away_harms_nobody(self) -> None:
        slow = Slow()
        flight = SingleFlight("numbers", slow)
        asked = [*await later(2, flight, 1), *await later(2, flight, 1)]
        asked[0].cancel()
        asked[2].cancel()
        slow.go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [one for one in results if isinstance(one, int)] == [2, 2]

    async def test_too_many_questions_are_refused(self) -> None:
        slow = Slow()
        flight = SingleFlight("numbers", slow, max_asked=3)
        asked = [one for number in range(3) for one in await later(1, flight, number)]
        with pytest.raises(DomainError, match="OVERLOADED"):
            await flight.ask(3)
        slow.go.set()
        await asyncio.gather(*asked)
        assert await flight.ask(3) == 6


def _submit_all(batcher: Batcher[int, int], count: int) -> list[Awaitable[int]]:
    return [batcher.submit(n) for n in range(count)]


async def test_what_comes_together_stays_together_and_shares_its_run_with_others() -> None:
    work = Recorder()
    batcher = Batcher("numbers", work, max_batch=10)
    several = batcher.submit_all(range(7)), batcher.submit_all([7, 8]), batcher.submit_all(range(9, 14))
    assert [list(one) for one in await asyncio.gather(*several)] == [
        [0, 2, 4, 6, 8, 10, 12],
        [14, 16],
        [18, 20, 22, 24, 26],
    ]
    assert work.batches == [list(range(9)), list(range(9, 14))]


async def test_of_several_each_gets_its_own_error() -> None:
    outcomes = await Batcher("numbers", Recorder(bad=2)).submit_all(range(5))
    assert [type(outcome) for outcome in outcomes] == [int, int, ValueError, int, int]


async def test_several_find_room_together_or_are_refused() -> None:
    work = Recorder()
    work.gate.clear()
    batcher = Batcher("numbers", work, max_batch=4, max_waiting=5)
    calls = [asyncio.create_task(batcher.submit_all([1, 2, 3]))]
    await asyncio.sleep(0.01)  # these run
    calls.append(asyncio.create_task(batcher.submit_all([4, 5, 6])))
    await asyncio.sleep(0.01)  # these wait
    with pytest.raises(DomainError):
        await batcher.submit_all([7, 8, 9])
    calls.append(asyncio.create_task(batcher.submit_all([7, 8])))
    await asyncio.sleep(0.01)
    work.gate.set()
    assert await asyncio.gather(*calls) == [[2, 4, 6], [8, 10, 12], [14, 16]]


class Guests:
    """Counts who is in a room."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.inside = 0
        self.most = 0

    async def come(self, count: int, *, patient: bool = False, seconds: float = 0.01) -> None:
        """Comes with so many, stays for a moment, and leaves."""
        async with self.room.taken(count, patient=patient):
            self.inside += count
            self.most = max(self.most, self.inside)
            await asyncio.sleep(seconds)
            self.inside -= count


async def test_no_more_are_in_a_room_than_it_holds_and_all_get_their_turn() -> None:
    guests = Guests(Room("room", 10, max_waiting=100))
    await asyncio.gather(*(guests.come(count) for count in (4, 7, 10, 1, 3, 9, 2, 2)))
    assert guests.most <= 10
    assert guests.inside == 0
    await guests.come(10)


async def test_a_crowd_before_a_room_is_refused_but_for_the_patient() -> None:
    guests = Guests(Room("room", 10, max_waiting=2))
    calls = [asyncio.create_task(guests.come(10)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(DomainError) as refused:
        await guests.come(1)
    assert (refused.value.reason, refused.value.metadata) == ("OVERLOADED", {"queue": "room"})
    await asyncio.gather(guests.come(1, patient=True), *calls)
    await guests.come(10)


async def test_who_goes_away_before_or_in_its_turn_leaves_no_room_taken() -> None:
    guests = Guests(Room("room", 10, max_waiting=100))
    for moments in range(6):
        calls = [asyncio.create_task(guests.come(7, seconds=0)) for _ in range(5)]
        for _ in range(moments):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        guests.inside = 0
        async with asyncio.timeout(1):
            await guests.come(10)
