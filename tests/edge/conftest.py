"""The edge that most tests share."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from stack.settings import Settings
from tests.edge.edge import Edge, Node, limits, running


def _generous(config: Node, settings: Settings) -> None:
    """All tests call from one address, many without a token."""
    limits(config)["nobody"] |= {"max_tokens": 100_000, "tokens_per_fill": 100_000}


@pytest_asyncio.fixture(scope="session")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """Envoy as committed, but for addresses and the limit of callers without a token."""
    async with running(tmp_path_factory.mktemp("edge"), _generous) as started:
        yield started


@pytest_asyncio.fixture(scope="session")
async def channel(edge: Edge) -> AsyncIterator[grpc.aio.Channel]:
    """A gRPC channel to the public listener."""
    async with grpc.aio.insecure_channel(edge.target) as opened:
        yield opened
