"""Redis may lose all, hang or die while points move: who made a change sees it, and all books agree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests import invariants
from tests.faults.clients import Disturbed, answer
from tests.hanging import hanging
from tests.platform import Member, Platform, at_once, purchase, refusal, unique

SHOPPERS, MOST_ROUNDS = 16, 1_000
CENTS, EARNED, PRICE = 12_345, 12, 30
FLUSHES, TIMES = 100, 3
HANGS_SECONDS, WELL_SECONDS = 1.0, 0.7

Disturb = Callable[[Platform], Awaitable[None]]


async def flushed(live: Platform) -> None:
    """Redis forgets everything, again and again."""
    async with Redis.from_url(live.stack.endpoints.redis_url) as redis:
        for _ in range(FLUSHES):
            await redis.flushall()
            await asyncio.sleep(0.03)


async def stopped(live: Platform) -> None:
    """Redis hangs, and goes on with what it was sent meanwhile."""
    for _ in range(TIMES):
        with hanging(live.stack, "redis"):
            await asyncio.sleep(HANGS_SECONDS)
        await asyncio.sleep(WELL_SECONDS)


async def killed(live: Platform) -> None:
    """Redis dies, and is started again with nothing in it."""
    for _ in range(TIMES):
        pid = await live.kill("redis")
        await asyncio.to_thread(live.stack.wait_restarted, "redis", pid)
        await asyncio.sleep(WELL_SECONDS)


class Shopper:
    """A member who knows what it has, and looks after each change."""

    def __init__(self, live: Platform, till: str, voucher: str, member: Member) -> None:
        self._live = live
        self._till = till
        self._voucher = voucher
        self.member = member
        self.points = 0
        self.seen = Disturbed()

    async def shop(self, over: asyncio.Event) -> None:
        """Shops, and spends what it got as soon as it is enough."""
        for _ in range(MOST_ROUNDS):
            if over.is_set():
                return
            receipt = purchase(self.member, CENTS)
            await self._ok(partial(self._live.call, "POST", "/v1/purchases", receipt, token=self._till))
            self.points += EARNED
            await self.look()
            order = partial(self._live.order, self.member, self._voucher, unique())
            if self.points >= PRICE:
                bought = await self._ok(order)
                assert bought.json()["order"]["state"] == "ORDER_STATE_COMPLETED"
                self.points -= PRICE
            else:
                refused = refusal(await answer(self._live, order, self.seen))
                assert refused.reason == "INSUFFICIENT_POINTS"
            await self.look()

    async def look(self) -> None:
        """The balance is what all changes up to now make it."""
        token = self.member.token
        seen = await self._ok(partial(self._live.call, "GET", "/v1/members/me/points", token=token))
        assert int(seen.json()["balance"]) == self.points

    async def _ok(self, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        got = await answer(self._live, call, self.seen)
        assert got.status_code == httpx.codes.OK, got.text
        return got


@pytest.mark.timeout(180)
@pytest.mark.parametrize("disturb", [flushed, stopped, killed], ids=lambda disturb: disturb.__name__)
async def test_nobody_sees_an_old_balance_of_ones_own(live: Platform, till: str, disturb: Disturb) -> None:
    voucher = await live.voucher(10_000, points=PRICE)
    shoppers = [Shopper(live, till, voucher, member) for member in await live.members(SHOPPERS)]
    over = asyncio.Event()
    shopping: asyncio.Future[Any] = asyncio.gather(*(shopper.shop(over) for shopper in shoppers))
    disturbing: asyncio.Future[Any] = asyncio.ensure_future(disturb(live))
    await asyncio.wait([shopping, disturbing], return_when=asyncio.FIRST_COMPLETED)
    over.set()
    await shopping
    await disturbing
    await at_once([shopper.look() for shopper in shoppers])
    kept = invariants.rows(live.databases["points"], "SELECT member_id, balance FROM accounts")
    balances = {str(row["member_id"]): row["balance"] for row in kept}
    assert [balances[one.member.id] for one in shoppers] == [one.points for one in shoppers]
    invariants.check(live.databases)
