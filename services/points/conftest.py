"""The fixtures of pytest-grpc, with a real asyncio server behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from services.points.tests.earn_rule_help import Staff
from services.points.tests.support import Points
from tests.inprocess import Platform


@pytest.fixture(scope="session")
def grpc_addr(platform: Platform) -> str:
    """Where points listens."""
    return platform.targets["points"]


@pytest.fixture(scope="session")
def grpc_channel(platform: Platform) -> grpc.aio.Channel:
    """A channel to points."""
    return platform.channels["points"]


@pytest.fixture(scope="session")
async def points(platform: Platform) -> Points:
    """Points as its callers see it."""
    return Points(platform, await platform.till(), await platform.service_token("vouchers"))


@pytest.fixture
async def staff(points: Points) -> AsyncIterator[Staff]:
    """An admin, who leaves no rule behind."""
    one = Staff(points, await points.platform.admin())
    yield one
    await one.clear()
