"""Redis is a gate and a cache: it may lose everything, be killed or hang, and nothing is lost or oversold."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest_asyncio
from redis.asyncio import Redis

from tests import invariants
from tests.hanging import hanging
from tests.platform import (
    MEMBERS_AT_ONCE,
    Member,
    Platform,
    at_once,
    eventually,
    limited,
    new_phone,
    purchase,
    refusal,
)

BUYERS, COUPONS = 60, 40


@pytest_asyncio.fixture(scope="module")
async def buyers(live: Platform) -> list[Member]:
    """Members for the tests of this module."""
    return await live.members(BUYERS)


async def _all_books_agree(live: Platform, buyers: list[Member]) -> None:
    """Balances over REST are those of the ledger, and all invariants hold."""
    invariants.check(live.databases)
    kept = invariants.rows(live.databases["points"], "SELECT member_id, balance FROM accounts")
    balances = {str(row["member_id"]): row["balance"] for row in kept}
    shown = await limited(MEMBERS_AT_ONCE, [partial(live.balance, member) for member in buyers])
    assert shown == [balances[member.id] for member in buyers]


async def _rush(live: Platform, till: str, buyers: list[Member]) -> list[httpx.Response]:
    """Everybody shops for exactly one coupon's points, then everybody orders, more than there are."""
    voucher = await live.voucher(COUPONS)
    receipts = [purchase(member, 500_000) for member in buyers]
    recorded = await at_once([live.call("POST", "/v1/purchases", r, token=till) for r in receipts])
    assert {answer.status_code for answer in recorded} == {200}
    again = await at_once([live.call("POST", "/v1/purchases", r, token=till) for r in receipts])
    assert [answer.content for answer in again] == [answer.content for answer in recorded]
    ordered = await at_once([live.order(member, voucher) for member in buyers])
    bought = [answer for answer in ordered if answer.status_code == 200]
    assert len(bought) == COUPONS
    assert {answer.json()["order"]["state"] for answer in bought} == {"ORDER_STATE_COMPLETED"}
    assert {refusal(answer).reason for answer in ordered if answer.status_code != 200} == {"SOLD_OUT"}
    return ordered


async def test_redis_may_be_flushed_in_the_middle(live: Platform, till: str, buyers: list[Member]) -> None:
    async with Redis.from_url(live.stack.endpoints.redis_url) as redis:
        rush, flushes = asyncio.create_task(_rush(live, till, buyers)), 0
        while not rush.done():
            await redis.flushall()
            flushes += 1
            await asyncio.sleep(0.02)
        await rush
        assert flushes > 5
        await redis.flushall()
    await _all_books_agree(live, buyers)


async def test_redis_may_be_killed_in_the_middle(live: Platform, till: str, buyers: list[Member]) -> None:
    rush = asyncio.create_task(_rush(live, till, buyers))
    killed = []
    while not rush.done():
        killed.append(live.stack.kill("redis"))
        await asyncio.to_thread(live.stack.wait_restarted, "redis", killed[-1])
        await asyncio.sleep(0.3)
    await rush
    assert killed
    await _all_books_agree(live, buyers)


async def test_redis_may_hang(live: Platform, till: str, buyers: list[Member]) -> None:
    asked = {"phone": new_phone(), "purpose": "OTP_PURPOSE_REGISTER"}
    with hanging(live.stack, "redis"):
        await _rush(live, till, buyers)
        await _all_books_agree(live, buyers)
        # What Redis alone can count is refused rather than let through.
        refused = await live.refused("POST", "/v1/otps", asked)
        assert (refused.status, refused.reason) == (503, "DEPENDENCY_UNAVAILABLE")
        assert refused.metadata == {"dependency": "redis"}
        assert refused.retry_seconds >= 1
    await eventually(partial(live.ok, "POST", "/v1/otps", asked), 5)
    await _all_books_agree(live, buyers)
