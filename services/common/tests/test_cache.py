"""Redis behind its breaker: it may vanish at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable

import pytest

from services.common.cache import Redis, RedisAwayError
from services.common.ids import new_id
from stack.redis import Redis as RedisServer
from tests.waiting import eventually


async def is_away(call: Awaitable[object]) -> bool:
    """Returns whether a call finds Redis away."""
    try:
        await call
    except RedisAwayError:
        return True
    return False


async def test_many_calls_at_once_do_not_look_like_an_outage(redis: Redis) -> None:
    key = str(new_id())
    await redis.call(redis.client.set(key, "x"))
    assert await asyncio.gather(*(_get(redis, key) for _ in range(300))) == [b"x"] * 300


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
    under_way = [asyncio.create_task(is_away(_get(redis, str(n)))) for n in range(100)]
    await asyncio.sleep(0)
    await redis.close()
    await asyncio.gather(*under_way)
    with pytest.raises(RedisAwayError):
        await redis.call(redis.client.ping())
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
    assert time.monotonic() - begun < 0.5
    os.kill(own_redis._process.pid, signal.SIGCONT)
    for key, value in reversed(values.items()):
        assert await redis.call(redis.client.get(key)) == value.encode()
    await redis.close()


async def test_one_call_tries_whether_redis_is_back_and_the_others_go_on(own_redis: RedisServer) -> None:
    redis = Redis(own_redis.url, seconds=2)
    own_redis.stop()
    for _ in range(5):
        assert await is_away(redis.call(redis.client.ping()))
    own_redis.start()

    async def may_be_tried() -> None:
        assert not redis.away

    assert own_redis._process is not None
    os.kill(own_redis._process.pid, signal.SIGSTOP)
    try:
        await eventually(may_be_tried)
        trying = asyncio.create_task(is_away(redis.call(redis.client.ping())))
        await asyncio.sleep(0)
        for _ in range(20):
            assert await is_away(redis.call(redis.client.ping()))
        assert not trying.done(), "the others did not wait for it"
    finally:
        os.kill(own_redis._process.pid, signal.SIGCONT)
    assert not await trying
    assert not await is_away(redis.call(redis.client.ping())), "all may use it again at once"
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
