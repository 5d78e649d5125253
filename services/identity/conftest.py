"""The fixtures of pytest-grpc, with a real asyncio server behind them."""

from __future__ import annotations

import grpc
import pytest

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
