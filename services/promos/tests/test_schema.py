"""The tables are what the models say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from services.promos.models import Base
from tests.inprocess import Platform

_COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public'"
)
_CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
)
_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
_OTHERS = ("alembic_version", "procrastinate")


def facts(url: str, *, create: bool) -> list[Sequence[object]]:
    """Columns, constraints and indexes of a database, after making the models' tables if asked to."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        if create:
            Base.metadata.create_all(connection)
        found = {
            tuple(row)
            for query in (_COLUMNS, _CONSTRAINTS, _INDEXES)
            for row in connection.execute(text(query))
        }
    engine.dispose()
    return sorted((row for row in found if not str(row[0]).startswith(_OTHERS)), key=repr)


async def test_migrations_make_exactly_the_models_tables(platform: Platform) -> None:
    platform.postgres.create_database("promos_models")
    migrated = await asyncio.to_thread(facts, platform.postgres.url("promos"), create=False)
    modelled = await asyncio.to_thread(facts, platform.postgres.url("promos_models"), create=True)
    assert migrated == modelled
