"""A database of the tests' own, with the tables that the shared mechanisms need, and a Redis to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, make_url

from services.common import sessions
from services.common.cache import Redis
from services.common.db import Database
from services.common.errors import DomainError
from services.common.sessions import SessionCache
from services.common.tables import (
    idempotency_table,
    members_table,
    new_metadata,
    outbox_table,
    set_aside_table,
)
from services.common.tests.sessions import Servers, the_epoch
from stack.postgres import Postgres
from stack.redis import Redis as RedisServer

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
    metadata = new_metadata()
    idempotency_table(metadata)
    outbox_table(metadata)
    set_aside_table(metadata)
    members_table(metadata)
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
async def cache(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionCache]:
    """An empty cache with a lease that lasts as long as any test may take on a busy machine.

    In a server of its own, for elsewhere a running identity renews the lease on its database's epoch.
    """
    monkeypatch.setattr(sessions, "_LEASE_MILLISECONDS", 60_000)
    client = Redis(own_redis.url, seconds=1)
    found = SessionCache(client)
    await found.renew_lease(the_epoch)
    yield found
    await client.close()


@pytest.fixture
async def own(own_redis: RedisServer) -> AsyncIterator[Servers]:
    """A server of the test's own and the cache in it, with a lease."""
    client = Redis(own_redis.url)
    found = SessionCache(client)
    await found.renew_lease(the_epoch)
    yield own_redis, found
    await client.close()
