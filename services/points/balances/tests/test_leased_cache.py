"""What is read from the cache is never older than what was reported, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import redis.asyncio as plain_redis

from services.common.cache import Redis, RedisAwayError
from services.common.ids import new_id
from services.points.balances.leased_cache import LeasedCache
from stack.ports import free_port
from stack.redis import Redis as RedisServer
from tests.inprocess import eventually


class Source:
    """A database of numbers, and how often each was read."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.reads: list[str] = []

    async def load(self, keys: Sequence[str]) -> list[str]:
        """Reads values."""
        await asyncio.sleep(0)
        self.reads += keys
        return [str(self.values.get(key, 0)) for key in keys]

    async def change(self, cache: LeasedCache, key: str, value: int) -> None:
        """Commits a change, and voids what is kept."""
        self.values[key] = value
        await cache.void([key])

    async def get(self, cache: LeasedCache, key: str = "a") -> int:
        """Returns what somebody who reads gets."""
        [value] = await cache.get_all([key], self.load)
        return int(value)

    async def is_kept(self, cache: LeasedCache, key: str = "a") -> bool:
        """Returns whether this process believes what Redis holds, if that is anything."""
        before = len(self.reads)
        await self.get(cache, key)
        return len(self.reads) == before


class Reads:
    """The reads of a crowd, by whether the cache had everything.

    Who makes changes among them waits for reads and for no time: so they are no denser on a slow machine.
    """

    def __init__(self) -> None:
        self.hits: list[bool] = []
        self.over = False
        self._another = asyncio.Event()

    def tell(self, *, hit: bool) -> None:
        """Counts a read."""
        self.hits.append(hit)
        self._wake()

    def stop(self) -> None:
        """Has everybody come to an end."""
        self.over = True
        self._wake()

    async def more(self, number: int) -> None:
        """Waits for so many more reads, or the end."""
        enough = len(self.hits) + number
        while len(self.hits) < enough and not self.over:
            await self._another.wait()

    def _wake(self) -> None:
        self._another.set()
        self._another = asyncio.Event()


@pytest.fixture
def source() -> Source:
    """A database in which everything is 0."""
    return Source()


@pytest.fixture
def cache(redis: Redis) -> LeasedCache:
    """A cache in a server that others use too."""
    return LeasedCache(redis, f"{new_id()}:")


@pytest.fixture
async def own(own_redis: RedisServer) -> AsyncIterator[tuple[LeasedCache, LeasedCache]]:
    """The caches of two processes in a server of the test's own."""
    servers = [Redis(own_redis.url), Redis(own_redis.url)]
    yield LeasedCache(servers[0], "x:"), LeasedCache(servers[1], "x:")
    for server in servers:
        await server.close()


@contextmanager
def hung(server: RedisServer) -> Iterator[None]:
    """Suspends a server: it takes connections and never replies."""
    assert server._process
    pid = server._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_it_is_filled_on_read_and_voided_on_write(cache: LeasedCache, source: Source) -> None:
    assert not await source.is_kept(cache)
    assert await source.is_kept(cache)
    await source.change(cache, "a", 7)
    assert not await source.is_kept(cache)
    assert await source.get(cache) == 7
    assert await source.is_kept(cache)
    assert await cache.held(["a", "nobody"]) == {"a": "7"}


async def test_many_values_are_read_in_one_question(cache: LeasedCache, source: Source) -> None:
    source.values = {"a": 1, "b": 2, "c": 3}
    await cache.get_all(["a", "c"], source.load)
    assert await cache.get_all(["b", "c", "nobody", "a"], source.load) == ["2", "3", "0", "1"]
    assert source.reads == ["a", "c", "b", "nobody"]
    assert await cache.get_all(["nobody", "a", "b", "c"], source.load) == ["0", "1", "2", "3"]
    assert len(source.reads) == 4
    await cache.void(["c", "a"])
    await cache.void([])
    await cache.get_all(["a", "b", "c"], source.load)
    assert source.reads[4:] == ["a", "c"]


async def test_values_may_hold_anything(cache: LeasedCache) -> None:
    odd = ["", ":", "=", "?", "x:?y", "x:=y", "\n", "Zürich", "1 2"]
    keys = [str(number) for number in range(len(odd))]

    async def load(wanted: list[str]) -> list[str]:
        return [odd[int(key)] for key in wanted]

    async def nobody(wanted: list[str]) -> list[str]:
        raise AssertionError(wanted)

    assert await cache.get_all(keys, load) == odd
    assert await cache.get_all(keys, nobody) == odd
    assert await cache.held(keys) == dict(zip(keys, odd, strict=True))


async def test_values_end_after_their_time(redis: Redis, source: Source) -> None:
    cache = LeasedCache(redis, f"{new_id()}:", seconds=1)
    await source.get(cache)
    assert await source.is_kept(cache)
    await asyncio.sleep(1.1)
    assert not await source.is_kept(cache)


async def test_what_was_read_before_a_change_is_not_kept_after_it(cache: LeasedCache, source: Source) -> None:
    async def slow(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        await source.change(cache, "a", 1)
        return found

    assert await cache.get_all(["a", "b"], slow) == ["0", "0"]
    assert await cache.held(["a", "b"]) == {"b": "0"}
    assert await source.get(cache) == 1


async def test_nor_when_it_was_read_again_meanwhile(cache: LeasedCache, source: Source) -> None:
    async def slow(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        await source.change(cache, "a", 1)
        assert await source.get(cache) == 1
        return found

    assert await cache.get_all(["a"], slow) == ["0"]
    assert await cache.held(["a"]) == {"a": "1"}


async def test_nor_with_the_lease_of_another_who_reads(cache: LeasedCache, source: Source) -> None:
    go_on, leased = asyncio.Event(), asyncio.Event()

    async def other(keys: list[str]) -> list[str]:
        leased.set()
        await go_on.wait()
        return await source.load(keys)

    async def slow(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        await source.change(cache, "a", 1)
        reads.append(asyncio.create_task(cache.get_all(keys, other)))
        await leased.wait()
        return found

    reads: list[asyncio.Task[list[str]]] = []
    assert await cache.get_all(["a"], slow) == ["0"]
    assert await cache.held(["a"]) == {}
    go_on.set()
    assert await reads[0] == ["1"]
    assert await cache.held(["a"]) == {"a": "1"}


async def test_who_finds_the_lease_of_another_reads_and_fills_nothing(
    cache: LeasedCache, source: Source
) -> None:
    async def slow(keys: list[str]) -> list[str]:
        assert not await source.is_kept(cache)
        assert await cache.held(["a"]) == {}
        return await source.load(keys)

    await cache.get_all(["a"], slow)
    assert await source.is_kept(cache)


async def test_a_read_that_fails_keeps_nothing(cache: LeasedCache, source: Source) -> None:
    async def broken(keys: list[str]) -> list[str]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await cache.get_all(["a"], broken)
    assert await cache.held(["a"]) == {}
    assert await source.get(cache) == 0


async def test_flushed_in_the_middle_it_knows_nothing_and_goes_on(
    cache: LeasedCache, source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    one, other = own

    async def slow(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        await one._server.client.flushall()
        await source.change(other, "a", 1)
        return found

    await source.get(one)
    await one.void(["a"])
    assert await one.get_all(["a"], slow) == ["0"]
    assert await one.held(["a"]) == await other.held(["a"]) == {}
    assert await source.get(other) == await source.get(one) == 1
    assert await source.is_kept(one)
    assert await source.is_kept(other)


async def test_an_epoch_that_is_forgotten_never_comes_again(
    source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    """Redis may evict any key, also the one that marks which values are old."""
    one, _ = own
    await source.get(one)
    [name] = await one._server.client.keys("x:epoch:*")
    await one._server.client.delete(name)
    assert not await source.is_kept(one)
    assert await source.is_kept(one)


async def test_without_redis_everything_is_read_where_it_is_decided(source: Source) -> None:
    away = Redis(f"redis://127.0.0.1:{free_port()}/0")
    cache = LeasedCache(away, "x:")
    for number in range(10):  # before and after the breaker opens
        await source.change(cache, "a", number)
        assert await source.get(cache) == number
    with pytest.raises(RedisAwayError):
        await cache.held(["a"])
    await away.close()
    assert await source.get(cache) == 9
    assert cache._beginning is not None
    await asyncio.wait_for(cache._beginning, 1)  # what is closed is not tried for ever


async def test_a_redis_that_hangs_and_misses_a_change_never_shows_the_old_state(
    own_redis: RedisServer, source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    one, other = own
    await source.get(one)
    await source.get(one, "b")
    assert await source.is_kept(other)
    with hung(own_redis):
        await source.change(one, "a", 1)
        assert await source.get(one) == 1
    assert await source.get(one) == 1

    async def void_everywhere() -> None:
        assert await source.get(other) == 1

    await eventually(void_everywhere)

    async def kept_again() -> None:
        assert await source.is_kept(one)
        assert await source.is_kept(one, "b")
        assert await source.is_kept(other)

    await eventually(kept_again)
    assert await one.held(["a", "b"]) == {"a": "1", "b": "0"}


async def test_a_fill_that_comes_late_is_of_an_old_epoch(
    own_redis: RedisServer, source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    """Redis hangs while it is given what was read before a change, and misses the change."""
    one, other = own

    async def slow(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        os.kill(pid, signal.SIGSTOP)
        await source.change(other, "a", 1)
        return found

    assert own_redis._process
    pid = own_redis._process.pid
    await asyncio.gather(source.get(one, "warm"), source.get(other, "warm"))
    assert await one.get_all(["a"], slow) == ["0"]
    os.kill(pid, signal.SIGCONT)

    async def void_everywhere() -> None:
        assert not other._in_doubt
        assert await source.get(one) == await source.get(other) == 1

    await eventually(void_everywhere)
    for _ in range(50):
        assert await source.get(one) == await source.get(other) == 1
        await asyncio.sleep(0.01)


async def test_a_void_that_fails_again_while_the_epoch_begins_is_not_forgotten(
    own_redis: RedisServer,
    source: Source,
    own: tuple[LeasedCache, LeasedCache],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = own
    await source.get(one)
    own_redis.stop()
    await source.change(one, "a", 1)
    begun: list[str] = []
    call_in_run = one._server.call_in_run

    async def amid(command: Any) -> Any:
        result = await call_in_run(command)
        if getattr(command, "__name__", "") == "begin":
            begun.append("epoch")
            if len(begun) == 1:
                one._doubt()  # a void that failed between what Redis did and its reply
        return result

    monkeypatch.setattr(one._server, "call_in_run", amid)
    own_redis.start()

    async def believed() -> None:
        assert not one._in_doubt

    await eventually(believed)
    assert len(begun) == 2


async def test_a_void_whose_call_was_cancelled_counts_as_failed(
    source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    one, other = own
    await source.get(one)
    for _ in range(16):  # all connections are in use, so it is not even sent
        await one._server._slots.acquire()
    change = asyncio.create_task(source.change(one, "a", 1))
    await asyncio.sleep(0.01)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    for _ in range(16):
        one._server._slots.release()
    assert await source.get(one) == 1

    async def void_everywhere() -> None:
        assert await source.get(other) == 1

    await eventually(void_everywhere)


async def test_restarted_with_an_old_snapshot_it_is_not_believed(
    own_redis: RedisServer, source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    one, other = own
    await source.get(one)
    await source.get(other)
    async with plain_redis.Redis.from_url(own_redis.url) as raw:
        old = {key: await raw.dump(key) for key in await raw.keys("*")}
    assert len(old) == 2, "a value and its epoch"
    await source.change(one, "a", 1)
    own_redis.stop()
    own_redis.start()
    async with plain_redis.Redis.from_url(own_redis.url) as raw:
        for key, value in old.items():
            await raw.restore(key, 60_000, value or b"")
    # The old connections are dead, and those who used them knew the id of the run before.
    assert [await source.get(one) for _ in range(20)] == [1] * 20
    assert [await source.get(other) for _ in range(20)] == [1] * 20

    async def kept_again() -> None:
        assert await source.is_kept(one)
        assert await source.is_kept(other)

    await eventually(kept_again)
    assert await source.get(one) == await source.get(other) == 1


async def test_stopped_and_started_nothing_older_than_the_last_change_is_read(
    own_redis: RedisServer, source: Source, own: tuple[LeasedCache, LeasedCache]
) -> None:
    one, other = own
    await source.get(one)
    for number in range(1, 4):
        own_redis.stop()
        await source.change(one, "a", number)
        assert await source.get(one) == await source.get(other) == number
        own_redis.start()
        assert await source.get(one) == await source.get(other) == number


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_many_who_read_and_write_never_read_what_is_older_than_what_was_reported(
    redis_server: RedisServer, source: Source
) -> None:
    """Values only grow: a read that begins after a change was reported finds that or more."""
    servers = [Redis(redis_server.url, seconds=10) for _ in range(2)]  # a slow machine is no outage
    prefix = f"{new_id()}:"
    caches = [LeasedCache(server, prefix) for server in servers]
    reported = dict.fromkeys("abc", 0)
    reads, luck = Reads(), random.Random(8)  # the same pauses in every run

    async def load(keys: list[str]) -> list[str]:
        found = await source.load(keys)
        await asyncio.sleep(luck.random() / 100)
        return found

    async def write(cache: LeasedCache, key: str) -> None:
        while not reads.over:
            value = source.values[key] = source.values.get(key, 0) + 1
            await cache.void([key])
            reported[key] = max(reported[key], value)
            await reads.more(luck.randrange(50))

    async def read(cache: LeasedCache) -> None:
        while not reads.over:
            before, loaded = dict(reported), len(source.reads)
            found = await cache.get_all(list("abc"), load)
            assert all(int(value) >= before[key] for key, value in zip("abc", found, strict=True))
            reads.tell(hit=len(source.reads) == loaded)
            await asyncio.sleep(0)

    async def flush() -> None:
        while not reads.over:
            await reads.more(luck.randrange(250))
            await servers[0].client.delete(*await servers[0].client.keys(f"{prefix}*"), "x")

    async def enough() -> None:
        assert sum(reads.hits) > 100
        assert len(reads.hits) > 1_000

    tasks = [asyncio.create_task(read(cache)) for cache in caches * 4]
    tasks += [asyncio.create_task(write(cache, key)) for cache in caches for key in "abc"]
    tasks.append(asyncio.create_task(flush()))
    try:
        await eventually(enough, seconds=60)
    finally:
        reads.stop()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in servers))
        assert ends == [None] * len(tasks), "nobody read what is older"
