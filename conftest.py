"""What every test can ask for: real servers, and the services in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from services.common.cache import Redis as RedisClient
from stack.postgres import Postgres
from stack.redis import Redis
from tests.inprocess import InProcess, Platform
from tests.slow import SLOW
from tests.spare_redis import SpareRedis
from tests.workers import UPGRADES, WHOLE_STACK, Sharing, keep_ports_apart, unit_of

# The same examples in every run, however slow the machine.
settings.register_profile("scrip", deadline=None, derandomize=True)
settings.load_profile("scrip")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    keep_ports_apart(int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Several workers share the tests by file."""
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks those that `make test-quick` leaves out."""
    for item in items:
        name = getattr(item, "originalname", item.name)
        if name in SLOW or unit_of(item.nodeid) in (*WHOLE_STACK, UPGRADES):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of this test run, on a disk that may forget."""
    server = Postgres(tmp_path_factory.mktemp("postgres"), fsync=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of this test run."""
    server = Redis(Path(tmp_path_factory.mktemp("redis")))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that a test may stop."""
    server = SpareRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis(redis_server: Redis) -> AsyncIterator[RedisClient]:
    """Redis behind its breaker. A slow machine is no outage: calls may take seconds here."""
    client = RedisClient(redis_server.url, seconds=5)
    yield client
    await client.close()


@pytest.fixture(scope="session")
async def in_process(postgres: Postgres, redis_server: Redis) -> AsyncIterator[InProcess]:
    """The platform with a handle to stop and start its services."""
    runner = InProcess(postgres, redis_server.url)
    await runner.start()
    yield runner
    await runner.stop()


@pytest.fixture(scope="session")
def platform(in_process: InProcess) -> Platform:
    """All services, in this process."""
    return in_process.platform
