"""Replaying a service's migrations gives exactly the tables that its table classes describe."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, make_url, text

from services.common import migrations, schema
from services.common.db import Database
from services.common.tables import load_tables
from stack.postgres import Postgres
from stack.settings import ROOT

SERVICES = ("identity", "points", "promos", "vouchers")
# Tables as PostgreSQL's catalogue has them: Alembic compares neither checks nor the predicates of indexes.
CATALOGUE = {
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
          coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'""",
    "indexes": """
        SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'""",
}


@dataclass(frozen=True)
class Built:
    """The tables of a service, made in both ways."""

    metadata: MetaData
    migrated: str
    modelled: str


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    """Each service."""
    return str(request.param)


@pytest.fixture(scope="module")
def built(service: str, postgres: Postgres) -> Built:
    """A service's tables: by migrations in one database, by table classes in another."""
    metadata = load_tables(service)
    names = [f"{service}_migrated", f"{service}_modelled"]
    postgres.create_databases(names)
    migrated, modelled = (postgres.url(name) for name in names)
    migrations.upgrade(service, migrated)
    engine = _engine(modelled)
    metadata.create_all(engine)
    engine.dispose()
    return Built(metadata, migrated, modelled)


# SQLAlchemy does not know PostgreSQL's points; the catalogue, below, has the column.
@pytest.mark.filterwarnings("ignore:Did not recognize type 'point'")
def test_alembic_finds_nothing_to_do(built: Built) -> None:
    engine = _engine(built.migrated)
    with engine.connect() as connection:
        options = {
            "include_object": migrations.is_described,
            "compare_type": True,
            "compare_server_default": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, built.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("kind", CATALOGUE)
def test_columns_constraints_and_indexes_are_the_same(built: Built, kind: str) -> None:
    migrated, modelled = (_catalogue(url, CATALOGUE[kind]) for url in (built.migrated, built.modelled))
    assert len(modelled) >= 3
    assert migrated == modelled


def test_every_constraint_has_a_name_of_ours(built: Built) -> None:
    names = [name.partition(".")[2] for name in _catalogue(built.migrated, CATALOGUE["constraints"])]
    assert [name for name in names if not name.startswith(("pk_", "uq_", "ck_", "fk_"))] == []


def test_there_is_one_head_and_the_code_needs_it(service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [schema.head(service)]
    assert len(script.get_bases()) == 1


async def test_a_migrated_database_is_at_head_and_an_empty_one_is_not(
    service: str, built: Built, postgres: Postgres
) -> None:
    postgres.create_database(f"{service}_empty")
    answers = {}
    for name, url in (("migrated", built.migrated), ("empty", postgres.url(f"{service}_empty"))):
        db = Database(url, pool_size=1)
        answers[name] = await schema.at_head(service, db)()
        await db.close()
    assert answers == {"migrated": True, "empty": False}


async def test_migrating_again_changes_nothing(service: str, built: Built) -> None:
    before = {kind: _catalogue(built.migrated, query) for kind, query in CATALOGUE.items()}
    await asyncio.to_thread(migrations.upgrade, service, built.migrated)
    assert {kind: _catalogue(built.migrated, query) for kind, query in CATALOGUE.items()} == before


def _engine(url: str) -> sa.Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)


def _catalogue(url: str, query: str) -> Mapping[str, Any]:
    engine = _engine(url)
    with engine.connect() as connection:
        found = {row[0]: tuple(row[1:]) for row in connection.execute(text(query))}
    engine.dispose()
    return {name: row for name, row in found.items() if not name.startswith(migrations.NOT_DESCRIBED)}
