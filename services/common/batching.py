"""Many concurrent calls, one statement."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, cast

from services.common.errors import DomainError, is_away, overloaded

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

Work = Callable[[list[T]], Awaitable[Sequence[R | DomainError]]]
Outcomes = list[R | Exception]
"""For each item its result, or its error."""
_REST_SECONDS = 0.003
"""Much less than a call takes when many come; it saves a third of the CPU of a redemption."""


class Batcher(Generic[T, R]):
    """Hands what waits at the same time to one run of `work`, from calls with one item or with many.

    `work` takes a list and returns a list of the same length, each a result or the error of that one.
    When it raises, the list is run again in halves, so that one bad item fails alone. Items wait in a
    bounded queue; a full one refuses with OVERLOADED. A caller that goes away does not harm the others.
    One run at a time lets the next batch grow meanwhile, which serves a crowd better than several small
    ones.

    After a batch of several it rests for a moment, so that more gather for the next one, which costs much the
    same for many as for one. A lone call never waits.
    """

    def __init__(
        self,
        name: str,
        work: Work[T, R],
        *,
        max_batch: int = 200,
        max_waiting: int = 2_000,
        max_parallel: int = 1,
    ) -> None:
        self._name = name
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_parallel = max_parallel
        self._waiting: deque[tuple[Sequence[T], asyncio.Future[Outcomes[R]]]] = deque()
        self._items_waiting = 0
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Returns the result of this item. Raises its error, or OVERLOADED."""
        (outcome,) = await self.submit_all((item,))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def submit_all(self, items: Sequence[T]) -> Outcomes[R]:
        """Returns the outcome of each of these items, at most `max_batch`, which stay together in one run.

        Raises OVERLOADED when there is no room for all of them.
        """
        assert len(items) <= self._max_batch, "what stays together fits into one run"
        if self._items_waiting + len(items) > self._max_waiting:
            raise overloaded(self._name)
        future: asyncio.Future[Outcomes[R]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        self._items_waiting += len(items)
        if len(self._running) < self._max_parallel:
            task = asyncio.create_task(self._drain())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)  # lets the calls of this loop turn gather
            while self._waiting:
                batch, futures = self._take()
                outcomes = iter(await in_halves(self._work, batch, name=self._name))
                for count, future in futures:
                    own = [next(outcomes) for _ in range(count)]
                    if not future.done():  # its caller may have gone away
                        future.set_result(own)
                if len(batch) > 1:
                    await asyncio.sleep(_REST_SECONDS)
        finally:
            # At once: a call that comes before the loop's next turn must not rely on a run that has ended.
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> tuple[list[T], list[tuple[int, asyncio.Future[Outcomes[R]]]]]:
        """Returns the next batch, and who waits for how many of its outcomes."""
        batch: list[T] = []
        futures = []
        while self._waiting and len(batch) + len(self._waiting[0][0]) <= self._max_batch:
            items, future = self._waiting.popleft()
            batch += items
            futures.append((len(items), future))
        self._items_waiting -= len(batch)
        return batch, futures


async def in_halves(work: Work[T, R], items: list[T], *, name: str) -> Outcomes[R]:
    """Returns the outcome of each item; when `work` raises, runs the list in halves, down to one item."""
    try:
        results = await work(items)
    except Exception as error:  # noqa: BLE001  # each item gets it
        # What is away is away for all: halves would only wait for the same dependency again.
        if len(items) == 1 or is_away(error):
            return [error] * len(items)
        middle = len(items) // 2
        first = await in_halves(work, items[:middle], name=name)
        return first + await in_halves(work, items[middle:], name=name)
    if len(results) != len(items):  # nobody knows which result is whose
        return [AssertionError(f"{name}: {len(results)} results for {len(items)} items")] * len(items)
    return list(results)


class Room:
    """Room for so many items at work at a time. Callers that find none wait, in order."""

    def __init__(self, name: str, size: int, *, max_waiting: int) -> None:
        self._name = name
        self._free = size
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, count: int, *, patient: bool = False) -> AsyncIterator[None]:
        """Room for `count` items, at most its whole size.

        Raises OVERLOADED when too many wait, unless the caller is patient: those bound themselves.
        """
        if self._waiting or count > self._free:
            if len(self._waiting) >= self._max_waiting and not patient:
                raise overloaded(self._name)
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((count, future))
            try:
                await future
            except asyncio.CancelledError:
                self._give_back(0 if future.cancelled() else count)  # it may have got room in this moment
                raise
        else:
            self._free -= count
        try:
            yield
        finally:
            self._give_back(count)

    def _give_back(self, count: int) -> None:
        self._free += count
        while self._waiting:
            wanted, future = self._waiting[0]
            if not future.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                future.set_result(None)
            self._waiting.popleft()


class SingleFlight(Generic[K, R]):
    """Coalesces requests: callers that ask the same at the same time share one call of `ask`.

    A caller never gets the result of a call that began before it came, for that may be older than what it
    knows: one that comes while a call is under way shares the next one. So for each question one call is
    under way and one waits at most, and different questions do not wait for each other. A caller that goes
    away does not harm the others. More than `max_asked` questions at once are refused with OVERLOADED.
    """

    def __init__(self, name: str, ask: Callable[[K], Awaitable[R]], *, max_asked: int = 2_000) -> None:
        self._name = name
        self._ask = ask
        self._max_asked = max_asked
        self._asked: dict[K, asyncio.Task[R]] = {}
        self._next: dict[K, asyncio.Task[R]] = {}

    async def ask(self, question: K) -> R:
        """Returns the result of a call that begins from now on. Raises what `ask` raises, and OVERLOADED."""
        task = self._next.get(question)
        if task is None:
            if len(self._asked) + len(self._next) >= self._max_asked:
                raise overloaded(self._name)
            task = self._next[question] = asyncio.create_task(self._put(question, self._asked.get(question)))
        return await asyncio.shield(task)

    async def _put(self, question: K, before: asyncio.Task[R] | None) -> R:
        if before:
            await asyncio.wait([before])
        self._asked[question] = self._next.pop(question)
        try:
            return await self._ask(question)
        finally:
            del self._asked[question]
