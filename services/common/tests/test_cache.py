"""Redis as a cache that never answers with something older, and may vanish at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.cache import Flags, Redis, RedisAwayError, VersionedCache
from services.common.ids import new_id
from stack.ports import free_port
from stack.redis import Redis as RedisServer
from tests.inprocess import eventually

puts = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2**53), st.text(max_size=8)), min_size=1, max_size=12
)
# A fixture that lives for one test serves all of its examples.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


async def is_away(call: Awaitable[object]) -> bool:
    """Whether a call finds Redis away."""
    try:
        await call
    except RedisAwayError:
        return True
    return False


async def newest(cache: VersionedCache, entries: list[tuple[str, int, str]]) -> None:
    """Checks that each key holds a value that was put with its highest version."""
    for key in {key for key, _, _ in entries}:
        highest = max(version for found, version, _ in entries if found == key)
        allowed = {value for found, version, value in entries if (found, version) == (key, highest)}
        assert await cache.get(key) in allowed


@shared
@given(puts)
async def test_one_by_one_the_newest_version_stays(redis: Redis, entries: list[tuple[str, int, str]]) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    for entry in entries:
        await cache.put([entry])
    await newest(cache, entries)


@shared
@given(puts)
async def test_in_one_call_the_newest_version_stays(
    redis: Redis, entries: list[tuple[str, int, str]]
) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put(entries)
    await newest(cache, entries)


@shared
@given(puts)
async def test_all_at_once_the_newest_version_stays(
    redis: Redis, entries: list[tuple[str, int, str]]
) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await asyncio.gather(*(cache.put([entry]) for entry in entries))
    await newest(cache, entries)


async def test_many_values_are_read_in_one_question(redis: Redis) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put([("a", 1, "one"), ("b", 2, "two:2")])
    assert await cache.get_all(["b", "nobody", "a", "b"]) == ["two:2", None, "one", "two:2"]


async def test_an_equal_version_is_written_anew_so_that_it_is_believed_again(redis: Redis) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put([("a", 7, "first")])
    await cache.put([("a", 7, "second")])
    assert await cache.get("a") == "second"


async def test_what_was_never_put_is_not_there(redis: Redis) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put([])
    assert await cache.get("a") is None


async def test_values_end_after_their_time(redis: Redis) -> None:
    cache = VersionedCache(redis, f"{new_id()}:", seconds=1)
    await cache.put([("a", 1, "x")])
    assert await cache.get("a") == "x"
    await asyncio.sleep(1.1)
    assert await cache.get("a") is None


async def test_flags_are_set_cleared_and_end_by_themselves(redis: Redis) -> None:
    flags = Flags(redis, f"{new_id()}:")
    assert not await flags.is_set("a")
    await flags.set("a")
    assert await flags.is_set("a")
    assert not await flags.is_set("b")
    await flags.clear("a")
    assert not await flags.is_set("a")
    await flags.set("a")
    await asyncio.sleep(1.1)
    assert not await flags.is_set("a")


async def test_many_calls_at_once_do_not_look_like_an_outage(redis: Redis) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put([("a", 1, "x")])
    assert await asyncio.gather(*(cache.get("a") for _ in range(300))) == ["x"] * 300


async def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    away = Redis(f"redis://127.0.0.1:{free_port()}/0")
    cache, flags = VersionedCache(away, "x:"), Flags(away, "x:")
    for _ in range(10):  # before and after the breaker opens
        await cache.put([("a", 1, "x")])
        assert await cache.get("a") is None
        await flags.set("a")
        await flags.clear("a")
        assert not await flags.is_set("a")
    await away.close()


async def test_after_five_failures_redis_is_left_alone_for_a_second(own_redis: RedisServer) -> None:
    redis = Redis(own_redis.url, seconds=1)
    assert await redis.call(redis.client.ping())
    own_redis.stop()
    for _ in range(5):
        assert await is_away(redis.call(redis.client.ping()))
    own_redis.start()
    begun = time.monotonic()
    assert await is_away(redis.call(redis.client.ping())), "the server is back, but is left alone"
    while await is_away(redis.call(redis.client.ping())):  # noqa: ASYNC110  # nothing tells when it closes
        await asyncio.sleep(0.02)
    assert 0.7 < time.monotonic() - begun < 2.0
    await redis.close()


async def test_what_comes_when_all_is_closed_opens_no_connection_again(redis_server: RedisServer) -> None:
    redis = Redis(redis_server.url)
    cache = VersionedCache(redis, "closed:")
    under_way = [asyncio.create_task(cache.put([(str(n), 1, "value")])) for n in range(100)]
    await asyncio.sleep(0)
    await redis.close()
    await asyncio.gather(*under_way)
    with pytest.raises(RedisAwayError):
        await redis.call(redis.client.ping())
    assert await cache.get("1") is None
    pool = redis.client.connection_pool
    assert not [one for one in pool._available_connections if one.is_connected]
    assert not pool._in_use_connections
    await redis.close()


async def test_single_failures_do_not_open_the_breaker(own_redis: RedisServer) -> None:
    redis = Redis(own_redis.url, seconds=1)
    for _ in range(3):
        own_redis.stop()
        for _ in range(2):
            assert await is_away(redis.call(redis.client.ping()))
        own_redis.start()
        assert not await is_away(redis.call(redis.client.ping()))
    await redis.close()


async def test_a_redis_that_hangs_costs_little_and_later_answers_go_to_nobody(own_redis: RedisServer) -> None:
    redis = Redis(own_redis.url, seconds=0.25)
    values = {f"key-{n}": f"value-{n}" for n in range(4)}
    for key, value in values.items():
        await redis.call(redis.client.set(key, value))
    assert own_redis._process is not None
    os.kill(own_redis._process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    answers = await asyncio.gather(*(is_away(redis.call(redis.client.get(key))) for key in values))
    assert answers == [True] * 4
    assert time.monotonic() - begun < 0.75
    os.kill(own_redis._process.pid, signal.SIGCONT)
    for key, value in reversed(values.items()):
        assert await redis.call(redis.client.get(key)) == value.encode()
    await redis.close()


async def test_calls_whose_callers_went_away_leave_no_answers_behind(redis: Redis) -> None:
    prefix = str(new_id())
    for n in range(20):
        await redis.call(redis.client.set(f"{prefix}-{n}", f"{n}"))
    for turn in range(20):
        gone = [asyncio.create_task(_get(redis, f"{prefix}-{n}")) for n in range(10)]
        for _ in range(turn % 4):
            await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        answers = await asyncio.gather(*(_get(redis, f"{prefix}-{n}") for n in range(10, 20)))
        assert answers == [f"{n}".encode() for n in range(10, 20)]


async def _get(redis: Redis, key: str) -> object:
    return await redis.call(redis.client.get(key))


@pytest.mark.parametrize("version", [0, 2**53])
async def test_versions_up_to_what_scripts_can_count_are_told_apart(redis: Redis, version: int) -> None:
    cache = VersionedCache(redis, f"{new_id()}:")
    await cache.put([("a", version, "first")])
    await cache.put([("a", version - 1, "older")])
    assert await cache.get("a") == "first"


async def test_what_a_hanging_redis_missed_is_never_shown_in_its_old_state(own_redis: RedisServer) -> None:
    redis, elsewhere = Redis(own_redis.url), Redis(own_redis.url)
    cache, other = VersionedCache(redis, "x:"), VersionedCache(elsewhere, "x:")
    await cache.put([("a", 1, "old"), ("b", 1, "old")])
    assert await other.get("a") == "old"
    assert own_redis._process is not None
    os.kill(own_redis._process.pid, signal.SIGSTOP)
    await cache.put([("a", 2, "new")])
    os.kill(own_redis._process.pid, signal.SIGCONT)

    async def old_is_void() -> None:
        assert await cache.get("a") is None
        assert await other.get("a") is None, "it noticed nothing, so it must find it void"

    assert await cache.get("a") is None
    await eventually(old_is_void)
    assert await cache.get("b") is None, "whoever else could not write may have meant this one"
    assert await other.get("b") == "old"
    for key, version, value in (("a", 2, "new"), ("b", 1, "old")):
        await other.put([(key, version, value)])
        assert await cache.get(key) == await other.get(key) == value
    await redis.close()
    await elsewhere.close()


async def test_what_is_void_is_so_up_to_the_newest_that_could_not_be_written(own_redis: RedisServer) -> None:
    redis = Redis(own_redis.url)
    cache = VersionedCache(redis, "x:")
    own_redis.stop()
    for version in (2, 4, 3):
        await cache.put([("a", version, f"{version}")])
    own_redis.start()

    async def void() -> None:
        await cache.put([("a", 3, "3")])
        assert await redis.call(redis.client.get("x:a")) == b"4:0:"

    await eventually(void)
    assert await cache.get("a") is None
    await cache.put([("a", 4, "4")])
    assert await cache.get("a") == "4"
    await redis.close()


async def test_a_value_that_could_not_be_written_never_comes_after_a_newer_one(
    own_redis: RedisServer,
) -> None:
    redis = Redis(own_redis.url)
    cache = VersionedCache(redis, "x:")
    own_redis.stop()
    await cache.put([("a", 1, "older")])
    own_redis.start()
    await cache.put([("a", 2, "newer")])
    await redis.call(redis.client.flushall())  # as a restart does
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert await cache.get("a") is None
        await asyncio.sleep(0.01)
    await redis.close()
