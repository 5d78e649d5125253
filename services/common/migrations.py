"""Each service's own chain of migrations, in `services/<name>/migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from alembic import command, context
from alembic.config import Config
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
