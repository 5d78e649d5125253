"""One platform for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio

from stack.testing import RunningStack
from tests.e2e.points import POINTS_SETTINGS
from tests.inprocess import GATEWAY_SECRET
from tests.platform import Member, Platform, start_platform


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own, ready."""
    stack = start_platform(
        tmp_path_factory.mktemp("e2e"),
        env_points=POINTS_SETTINGS,
        env_vouchers={
            "SCRIP_PAYMENT_PROVIDER_NAME": "GATEWAY",
            "SCRIP_PAYMENT_PROVIDER_URL": "http://127.0.0.1:1/",  # it is heard, and never asked
            "SCRIP_PAYMENT_PROVIDER_SECRET": GATEWAY_SECRET,
        },
        env_promos={"SCRIP_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"},  # where tests receive
    )
    yield stack
    assert stack.stop() == 0


@pytest_asyncio.fixture(scope="package")
async def live(running: RunningStack) -> AsyncIterator[Platform]:
    """The platform, with an admin logged in."""
    async with Platform(running) as platform:
        yield platform


@pytest_asyncio.fixture(scope="package")
async def till(live: Platform) -> str:
    """A till's token."""
    return await live.till()


@pytest_asyncio.fixture(scope="package")
async def ada(live: Platform, till: str) -> Member:
    """A member with 1,000 points, for tests that spend none."""
    member = await live.member()
    await live.give(till, member, 1_000)
    return member


@pytest_asyncio.fixture
async def member(live: Platform) -> Member:
    """A member of the test's own, without points."""
    return await live.member()


@pytest_asyncio.fixture(scope="package")
async def channel(live: Platform) -> AsyncIterator[grpc.aio.Channel]:
    """A gRPC channel to the edge."""
    async with grpc.aio.insecure_channel(live.target) as opened:
        yield opened
