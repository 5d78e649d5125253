"""One platform for all tests of this folder, each of which breaks it and waits until it is whole again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from stack.testing import RunningStack
from tests.platform import Platform, start_platform


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own, ready."""
    stack = start_platform(tmp_path_factory.mktemp("faults"))
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
