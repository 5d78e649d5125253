"""Many concurrent calls, one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar, cast

from services.common.errors import DomainError, overloaded

_SHARED = ("DEPENDENCY_UNAVAILABLE", "OVERLOADED")
"""What hits all items of a batch alike: halves would only wait for the same dependency again."""

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)


class Batcher(Generic[T, R]):
    """Hands calls that wait at the same time to one run of `work`.

    `work` takes a list and answers a list of the same length, each a result or the error of that one.
    When it raises, the list is run again in halves, so that one bad item fails alone. Items wait in a
    bounded queue; a full one refuses with OVERLOADED. A caller that goes away does not harm the others.
    One run at a time lets the next batch grow meanwhile, which serves a crowd better than several small
    ones.

    `linger` is how long it rests after a batch of several, in seconds, so that more gather for the next
    one: for work that is quick, and costs much the same for many as for one. Who comes alone never waits.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], Awaitable[Sequence[R | DomainError]]],
        *,
        max_batch: int = 200,
        max_waiting: int = 2_000,
        max_parallel: int = 1,
        linger: float = 0.0,
    ) -> None:
        self._name = name
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_parallel = max_parallel
        self._linger = linger
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """The result of this item. Raises its error, or OVERLOADED."""
        if len(self._waiting) >= self._max_waiting:
            raise overloaded(self._name)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
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
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                await self._run(batch)
                if self._linger and len(batch) > 1:
                    await asyncio.sleep(self._linger)
        finally:
            # At once: whoever comes before the loop's next turn must not rely on a run that has ended.
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _run(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # each caller gets it
            if len(batch) == 1 or (isinstance(error, DomainError) and error.reason in _SHARED):
                _fail(batch, error)
                return
            middle = len(batch) // 2
            await self._run(batch[:middle])
            await self._run(batch[middle:])
            return
        if len(results) != len(batch):  # nobody can tell which result is whose
            _fail(batch, AssertionError(f"{self._name}: {len(results)} results for {len(batch)} items"))
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # its caller went away
                continue
            if isinstance(result, DomainError):
                future.set_exception(result)
            else:
                future.set_result(result)


def _fail(batch: Sequence[tuple[object, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


class Folder(Generic[K, R]):
    """Asks a question once for all who ask the same at the same time.

    Nobody gets an answer to a question that was put before he came, for it may be older than what he
    knows: who comes while it is under way shares the next one. So of each question there is one under way
    and one that waits, however many ask, and different ones do not wait for each other. A caller that goes
    away does not harm the others. More than `max_asked` questions at once are refused with OVERLOADED.
    """

    def __init__(self, name: str, ask: Callable[[K], Awaitable[R]], *, max_asked: int = 2_000) -> None:
        self._name = name
        self._ask = ask
        self._max_asked = max_asked
        self._asked: dict[K, asyncio.Task[R]] = {}
        self._next: dict[K, asyncio.Task[R]] = {}

    async def ask(self, question: K) -> R:
        """The answer, to a question that is put from now on. Raises what asking raises, and OVERLOADED."""
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
