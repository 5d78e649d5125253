"""The fixtures of pytest-grpc, with a real asyncio server behind them."""

from __future__ import annotations

import grpc
import pytest
import redis.asyncio as redis

from services.identity.accounts.guesses import PER_ADDRESS
from services.identity.tests.people import People
from tests.inprocess import Platform


@pytest.fixture(scope="session")
def grpc_addr(platform: Platform) -> str:
    """Where identity listens."""
    return platform.targets["identity"]


@pytest.fixture(scope="session")
def grpc_channel(platform: Platform) -> grpc.aio.Channel:
    """A channel to identity."""
    return platform.channels["identity"]


@pytest.fixture(scope="session")
def people(platform: Platform) -> People:
    """Members and staff, as they meet identity."""
    return People(platform)


@pytest.fixture(autouse=True)
async def no_failures_yet(platform: Platform) -> None:
    """All tests are one address, from which a hundred guesses may fail within five minutes."""
    async with redis.Redis.from_url(platform.redis_url) as client:  # a new one: tests restart the server
        kept = [key async for key in client.scan_iter(f"throttle:{PER_ADDRESS.name}:*")]
        if kept:
            await client.delete(*kept)
