"""A database of the tests' own, with the tables that the shared mechanisms need, and a Redis to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from hypothesis import settings
from procrastinate.schema import SchemaManager
from sqlalchemy import MetaData, create_engine, make_url

from services.common import cache
from services.common.cache import Redis
from services.common.db import Database
from services.common.errors import DomainError
from services.common.idempotency import idempotency_table
from stack.postgres import Postgres
from stack.redis import Redis as RedisServer

# The same examples in every run, however slow the machine.
settings.register_profile("scrip", deadline=None, derandomize=True)
settings.load_profile("scrip")

_TABLES = """
CREATE TABLE counters (
  name text PRIMARY KEY, value int NOT NULL CONSTRAINT ck_counters_value CHECK (value >= 0)
);
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, body text NOT NULL);
"""


@pytest.fixture(scope="session")
def database_url(postgres: Postgres) -> str:
    """A database with a job queue, a table of keys, and two tables to play with."""
    postgres.create_database("common")
    url = postgres.url("common")
    with psycopg.connect(url) as connection:
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute(_TABLES)
    metadata = MetaData()
    idempotency_table(metadata)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
async def db(database_url: str) -> AsyncIterator[Database]:
    """The database behind the class that services use."""
    constraints = {
        "counters_pkey": lambda: DomainError("CLIENT_NAME_TAKEN", "there is one"),
        "ck_counters_value": lambda: DomainError("INSUFFICIENT_POINTS", "too few"),
    }
    database = Database(database_url, pool_size=10, constraints=constraints)
    yield database
    await database.close()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Redis behind its breaker. A slow machine is no outage: calls may take a second here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_CALL_SECONDS", 1.0)
        client = Redis(redis_server.url)
    yield client
    await client.close()
