"""The fixtures of pytest-grpc, with a real asyncio server behind them, and what promos' tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from services.promos.tests.support import Promos
from tests.inprocess import Platform


@pytest.fixture(scope="session")
def grpc_addr(platform: Platform) -> str:
    """Where promos listens."""
    return platform.targets["promos"]


@pytest.fixture(scope="session")
def grpc_channel(platform: Platform) -> grpc.aio.Channel:
    """A channel to promos."""
    return platform.channels["promos"]


@pytest.fixture(scope="session")
async def promos(platform: Platform, grpc_channel: grpc.aio.Channel) -> Promos:
    """Promos, as the tests speak to it."""
    return await Promos.of(platform, grpc_channel)


@pytest.fixture(autouse=True)
async def alone(promos: Promos) -> None:
    """No campaign of another test takes part."""
    await promos.execute("UPDATE campaigns SET state = 'ENDED' WHERE state <> 'ENDED'")


@pytest.fixture(autouse=True)
async def consistent(promos: Promos) -> AsyncIterator[None]:
    """After every test, whatever it did: what must never be is not."""
    yield
    await promos.assert_consistent()
