"""Each service's own chain of migrations, in `services/<name>/migrations/versions`."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import psycopg
from alembic import command, context
from alembic.config import Config
from procrastinate.schema import SchemaManager
from sqlalchemy import MetaData, create_engine, pool
from sqlalchemy.engine import make_url

NOT_DESCRIBED = ("procrastinate_", "alembic_version")

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
        context.configure(connection=connection, target_metadata=metadata, include_object=is_described)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def is_described(_: object, name: str | None, kind: str, *__: object) -> bool:
    """Whether a table is one of ours: those of the job queue and of Alembic are described nowhere."""
    return kind != "table" or not str(name).startswith(NOT_DESCRIBED)


def execute(statement: LiteralString | bytes) -> None:
    """Runs statements of a migration as they stand: no placeholders, no parameters."""
    driver = context.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(statement)


def create_job_queue() -> None:
    """Creates the tables of the job queue, for the first migration of a service that defers jobs."""
    execute(SchemaManager.get_schema().encode())


def create_outbox() -> None:
    """Creates the outbox, for the migration with which a service gets one."""
    execute(
        """
        CREATE TABLE outbox (
          id uuid NOT NULL CONSTRAINT pk_outbox PRIMARY KEY,
          topic text NOT NULL,
          receiver text NOT NULL,
          subject text NOT NULL,
          version bigint NOT NULL,
          content jsonb NOT NULL,
          queue text NOT NULL,
          created_at timestamptz NOT NULL DEFAULT now(),
          attempts integer NOT NULL DEFAULT 0,
          set_aside_at timestamptz,
          next_attempt_at timestamptz,
          error text,
          CONSTRAINT uq_outbox_topic_receiver_subject_version UNIQUE (topic, receiver, subject, version),
          CONSTRAINT ck_outbox_set_aside_with_error CHECK ((set_aside_at IS NULL) = (error IS NULL))
        );
        CREATE INDEX ix_outbox_set_aside ON outbox (next_attempt_at) WHERE set_aside_at IS NOT NULL;
        """
    )


def create_set_aside() -> None:
    """Creates the table of what is set aside, for the migration with which a service gets one."""
    execute(
        """
        CREATE TABLE set_aside (
          kind text NOT NULL,
          id text NOT NULL,
          set_aside_at timestamptz NOT NULL DEFAULT now(),
          attempts integer NOT NULL DEFAULT 1,
          next_attempt_at timestamptz NOT NULL DEFAULT now(),
          error text NOT NULL,
          CONSTRAINT pk_set_aside PRIMARY KEY (kind, id),
          CONSTRAINT ck_set_aside_kind_known CHECK (kind IN ('ORDER', 'EXPIRY', 'JOB'))
        );
        """
    )


def queue_outbox() -> None:
    """Queues the jobs that send what a migration moved into the outbox."""
    execute(
        """
        SELECT procrastinate_defer_jobs_v1(array_agg(ROW(
          queue, 'send_outbox', 0, concat_ws(':', topic, receiver, subject), NULL,
          jsonb_build_object('topic', topic, 'receiver', receiver, 'subject', subject), NULL
        )::procrastinate_job_to_defer_v1))
        FROM (SELECT DISTINCT topic, receiver, subject, queue FROM outbox) AS subjects
        """
    )


def add_status_version() -> None:
    """Adds the version of the event that a member's status comes from."""
    execute(
        """
        ALTER TABLE members ADD COLUMN status_version bigint NOT NULL DEFAULT '0';
        UPDATE members SET status_version = version;
        """
    )


def move_audit_to_outbox() -> None:
    """Moves the audit entries that are on their way into the outbox, and drops the table they had."""
    execute(
        """
        INSERT INTO outbox (id, topic, receiver, subject, version, content, queue, created_at)
        SELECT id, 'audit', 'identity', id::text, 1, jsonb_build_object(
          'actor_id', actor_id, 'actor_role', actor_role, 'action', action, 'target_id', target_id,
          'details', details
        ), 'default', occurred_at
        FROM audit_outbox;
        DROP TABLE audit_outbox;
        DELETE FROM procrastinate_jobs WHERE task_name = 'forward_audit';
        """
    )
    queue_outbox()
