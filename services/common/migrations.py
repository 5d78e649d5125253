"""Each service's own chain of migrations, in `services/<name>/migrations/versions`."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command, context
from alembic.config import Config
from procrastinate.schema import SchemaManager
from sqlalchemy import MetaData, create_engine, pool
from sqlalchemy.engine import make_url

_SERVICES = Path(__file__).resolve().parent.parent


def upgrade(service: str, database_url: str) -> None:
    """Brings a service's database to the newest version."""
    config = Config()
    config.set_main_option("script_location", str(_SERVICES / service / "migrations"))
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


def run_environment(metadata: MetaData) -> None:
    """What every `env.py` does: run the chain in one transaction on the database given to `upgrade`."""
    url = make_url(context.config.attributes["database_url"]).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def create_job_queue() -> None:
    """Creates the tables of the job queue, for the first migration of a service that defers jobs."""
    driver = context.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(SchemaManager.get_schema().encode())
