"""Limits on how often something may be tried."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from services.common.cache import Redis
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.throttle import Limit, Throttle
from stack.ports import free_port
from tests.waiting import eventually

OPEN = Limit("guesses", 3, 60, open_when_away=True)
CLOSED = Limit("sends", 3, 60)


@pytest.fixture
def throttle(redis: Redis) -> Throttle:
    """A throttle on a Redis that is there."""
    return Throttle(redis, b"secret")


async def refusal(call: Awaitable[object]) -> DomainError:
    """Returns the refusal of a call."""
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value


async def test_so_many_pass_and_the_next_must_wait(throttle: Throttle) -> None:
    key = str(new_id())
    for _ in range(3):
        await throttle.hit(CLOSED, key)
    error = await refusal(throttle.hit(CLOSED, key))
    assert error.reason == "TOO_MANY_REQUESTS"
    assert error.metadata["limit"] == "sends"
    wait = int(error.metadata["retry_after_seconds"])
    assert 58 <= wait <= 60
    assert error.retry_after == wait


async def test_keys_and_limits_count_for_themselves(throttle: Throttle) -> None:
    key = str(new_id())
    for _ in range(3):
        await throttle.hit(CLOSED, key)
    await throttle.hit(CLOSED, f"{key}-other")
    await throttle.hit(OPEN, key)


async def test_at_once_no_more_pass_than_one_after_the_other(throttle: Throttle) -> None:
    key = str(new_id())
    hits = await asyncio.gather(*(throttle.hit(CLOSED, key) for _ in range(30)), return_exceptions=True)
    assert len([hit for hit in hits if not isinstance(hit, DomainError)]) == 3


async def test_looking_counts_nothing_and_refuses_at_the_limit(throttle: Throttle) -> None:
    key = str(new_id())
    for _ in range(10):
        await throttle.check(OPEN, key)
    for _ in range(2):
        await throttle.hit(OPEN, key)
    await throttle.check(OPEN, key)
    await throttle.hit(OPEN, key)
    assert (await refusal(throttle.check(OPEN, key))).reason == "TOO_MANY_REQUESTS"


@pytest.mark.parametrize("look_first", [False, True])
async def test_the_window_ends(throttle: Throttle, look_first: bool) -> None:
    limit, key = Limit("short", 2, 1), str(new_id())
    if look_first:
        await throttle.check(limit, key)
    for _ in range(2):
        await throttle.hit(limit, key)
    assert (await refusal(throttle.hit(limit, key))).metadata["retry_after_seconds"] == "1"
    await asyncio.sleep(1.05)
    await throttle.check(limit, key)
    await throttle.hit(limit, key)


async def test_hits_beyond_the_limit_do_not_prolong_the_window(throttle: Throttle) -> None:
    limit, key = Limit("short", 1, 1), str(new_id())
    await throttle.hit(limit, key)
    await refusal(throttle.hit(limit, key))

    async def open_again() -> None:
        try:
            await throttle.hit(limit, key)
        except DomainError as error:
            raise AssertionError("still refused") from error

    await eventually(open_again, seconds=5)


async def test_without_redis_the_limit_itself_says_what_happens() -> None:
    away = Redis(f"redis://127.0.0.1:{free_port()}/0")
    throttle = Throttle(away, b"secret")
    for number in range(8):  # before and after the breaker opens
        await throttle.check(OPEN, f"somebody-{number}")
        await throttle.hit(OPEN, f"somebody-{number}")
        for call in (throttle.check(CLOSED, "anybody"), throttle.hit(CLOSED, "anybody")):
            error = await refusal(call)
            assert (error.reason, error.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "redis"})
    await away.close()


async def test_without_redis_an_open_limit_is_counted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Redis(f"redis://127.0.0.1:{free_port()}/0")
    throttle, limit = Throttle(away, b"secret"), Limit("short", 3, 1, open_when_away=True)
    for _ in range(3):
        await throttle.check(limit, "guesser")
        await throttle.hit(limit, "guesser")
    for call in (throttle.check(limit, "guesser"), throttle.hit(limit, "guesser")):
        error = await refusal(call)
        assert (error.reason, error.metadata["retry_after_seconds"]) == ("TOO_MANY_REQUESTS", "1")
    await throttle.hit(limit, "somebody else")
    await throttle.hit(OPEN, "guesser")
    await asyncio.sleep(1.05)
    await throttle.check(limit, "guesser")
    await throttle.hit(limit, "guesser")
    monkeypatch.setattr("services.common.throttle._MOST_HERE", 5)
    for number in range(20):
        await throttle.hit(limit, f"somebody-{number}")
    assert len(throttle._here) <= 5
    await away.close()


async def test_a_hit_says_when_the_next_one_is_allowed(throttle: Throttle) -> None:
    key = str(new_id())
    assert [await throttle.hit(CLOSED, key) for _ in range(2)] == [0, 0]
    assert 50 <= await throttle.hit(CLOSED, key) <= 60


async def test_redis_does_not_hold_what_is_counted(redis: Redis, throttle: Throttle) -> None:
    """A number could be found by trying all numbers, were it not for the secret."""
    key = "+14155550123"
    await throttle.hit(CLOSED, key)
    assert await redis.client.exists(throttle.name_of(CLOSED, key)) == 1
    assert [name async for name in redis.client.scan_iter(f"*{key}*")] == []
    other = Throttle(redis, b"another secret")
    assert other.name_of(CLOSED, key) != throttle.name_of(CLOSED, key)
    assert other.name_of(OPEN, key) != other.name_of(CLOSED, key)
    assert Throttle(redis, b"secret").name_of(CLOSED, key) == throttle.name_of(CLOSED, key)
