"""One platform for all tests of this folder, each of which breaks it and waits until it is whole again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import pytest_asyncio

from stack.testing import RunningStack
from tests.faults.faults import Breakable, breakable_stack
from tests.faults.hop import Hop
from tests.platform import Platform


@pytest.fixture(scope="package")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, Mapping[str, Hop]]]:
    """A stack of its own, ready, and the network inside it."""
    with breakable_stack(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="package")
def running(breakable: tuple[RunningStack, Mapping[str, Hop]]) -> RunningStack:
    """The stack."""
    return breakable[0]


@pytest_asyncio.fixture(scope="package")
async def live(running: RunningStack) -> AsyncIterator[Platform]:
    """The platform, with an admin logged in."""
    async with Platform(running) as platform:
        yield platform


@pytest.fixture(scope="package")
def broken(live: Platform, breakable: tuple[RunningStack, Mapping[str, Hop]]) -> Breakable:
    """The platform with the network inside it."""
    return Breakable(live, breakable[1])


@pytest_asyncio.fixture(scope="package")
async def till(live: Platform) -> str:
    """A till's token."""
    return await live.till()
