"""One active device, whatever happens to Redis; and nobody is let in without Redis and identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.e2e.people import (
    EACH_SERVICE,
    SECOND,
    WELCOME,
    Login,
    answers,
    assert_refused,
    log_in_with,
    refresh_refused,
)
from tests.hanging import hanging
from tests.platform import Member, Platform, at_once, eventually, new_phone, refusal

WELL_SECONDS = 20.0
Between = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture(autouse=True)
async def whole(live: Platform) -> AsyncIterator[None]:
    """Before and after each test Redis counts and all services answer."""
    await _until_whole(live)
    yield
    await _until_whole(live)


async def _until_whole(live: Platform) -> None:
    asked = {"phone": new_phone(), "purpose": "OTP_PURPOSE_REGISTER"}
    await eventually(partial(live.ok, "POST", "/v1/otps", asked), WELL_SECONDS)
    member = await live.member()

    async def welcome() -> None:
        assert await answers(live, member.token) == WELCOME

    await eventually(welcome, WELL_SECONDS)


async def _log_in_twice(live: Platform, between: Between) -> tuple[Member, Login, float]:
    """Returns a member on its first device, its second login, and when that was made."""
    member = await live.member()
    # Asked for before, since what Redis alone can count is refused without it.
    proof = (await live.otp(member.phone, "LOG_IN")).proof
    assert await answers(live, member.token) == WELCOME
    await between()
    second = await log_in_with(live, proof)
    return member, second, time.monotonic()


async def _assert_replaced(live: Platform, first: Member, second: Login, since: float) -> None:
    assert await answers(live, second.access) == WELCOME
    await assert_refused(live, first.token, "SESSION_REPLACED", since)
    assert await refresh_refused(live, Login(first.token, first.refresh_token)) == "SESSION_REPLACED"
    assert await answers(live, second.access) == WELCOME


async def _assert_never_again(live: Platform, first: Member, second: Login) -> None:
    """That while everything gets well again nobody takes the first device for active."""
    deadline = time.monotonic() + SECOND
    while time.monotonic() < deadline:
        assert await answers(live, first.token) == {"SESSION_REPLACED"}
        await asyncio.sleep(0.1)
    assert await answers(live, second.access) == WELCOME


async def test_it_holds_with_redis_flushed(live: Platform) -> None:
    async def flush() -> None:
        async with Redis.from_url(live.stack.endpoints.redis_url) as redis:
            await redis.flushall()

    first, second, since = await _log_in_twice(live, flush)
    await flush()
    await _assert_replaced(live, first, second, since)


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_killed(live: Platform) -> None:
    killed = []

    async def kill() -> None:
        killed.append(await live.kill("redis"))

    first, second, since = await _log_in_twice(live, kill)
    await _assert_replaced(live, first, second, since)
    await asyncio.to_thread(live.stack.wait_restarted, "redis", killed[0])
    await _assert_never_again(live, first, second)


async def test_it_holds_with_redis_hung(live: Platform) -> None:
    with ExitStack() as hung:

        async def hang() -> None:
            hung.enter_context(hanging(live.stack, "redis"))

        first, second, since = await _log_in_twice(live, hang)
        await _assert_replaced(live, first, second, since)
    await _assert_never_again(live, first, second)


@pytest.mark.covers("I4 IdentityInternalService.BatchCheckSessions")
async def test_without_redis_and_identity_nobody_is_let_in(live: Platform, member: Member) -> None:
    assert await answers(live, member.token) == WELCOME
    with hanging(live.stack, "redis"), hanging(live.stack, "identity"):
        await asyncio.sleep(SECOND)
        got = await at_once([live.call("GET", path, token=member.token) for path in EACH_SERVICE[1:]])
        for one in got:
            refused = refusal(one)
            assert (refused.status, refused.reason) == (503, "DEPENDENCY_UNAVAILABLE")
            assert refused.retry_seconds >= 1


async def test_without_identity_who_is_logged_in_goes_on(live: Platform, member: Member) -> None:
    with hanging(live.stack, "identity"):
        await asyncio.sleep(SECOND)

        async def goes_on() -> None:
            # The worker of identity goes on renewing the lease.
            assert await answers(live, member.token, EACH_SERVICE[1:]) == WELCOME

        await eventually(goes_on, WELL_SECONDS)
