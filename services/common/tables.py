"""Tables of several services, names for constraints, column types. For migrations and tests only."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

_SERVICES = Path(__file__).resolve().parent.parent

TYPES: dict[Any, Any] = {datetime: DateTime(timezone=True), str: Text, bytes: LargeBinary}
"""Column types by annotation: moments in UTC, texts without a length of their own."""


def load_tables(service: str) -> MetaData:
    """Returns the tables of a service, each from the `tables.py` of the feature that owns it."""
    for path in sorted((_SERVICES / service).glob("*/tables.py")):
        import_module(f"services.{service}.{path.parent.name}.tables")
    metadata: MetaData = import_module(f"services.{service}.tables").Base.metadata
    return metadata


def new_metadata() -> MetaData:
    """Metadata that gives every constraint a name, for a violated one is known by its name."""
    return MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


def outbox_table(metadata: MetaData) -> Table:
    """Returns the table of messages that are on their way to other services.

    `next_attempt_at` is set while a message that its receiver could not take waits for its time.
    """
    return Table(
        "outbox",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("topic", Text, nullable=False),
        Column("receiver", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("content", JSONB, nullable=False),
        Column("queue", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("set_aside_at", DateTime(timezone=True)),
        Column("next_attempt_at", DateTime(timezone=True)),
        Column("error", Text),
        UniqueConstraint("topic", "receiver", "subject", "version"),
        CheckConstraint("(set_aside_at IS NULL) = (error IS NULL)", name="set_aside_with_error"),
        Index("ix_outbox_set_aside", "next_attempt_at", postgresql_where=text("set_aside_at IS NOT NULL")),
    )


def set_aside_table(metadata: MetaData) -> Table:
    """Returns the table of what failed by a defect and waits for its next try: see `set_aside.py`."""
    return Table(
        "set_aside",
        metadata,
        Column("kind", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("set_aside_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("attempts", Integer, nullable=False, server_default="1"),
        Column("next_attempt_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("error", Text, nullable=False),
        CheckConstraint("kind IN ('ORDER', 'EXPIRY', 'JOB')", name="kind_known"),
    )


def members_table(metadata: MetaData) -> Table:
    """Returns the table of what is known of members from identity's events: see `members.keep_member_event`.

    Version 0 is that of one of whom only a code is known yet. `status_version` is that of the event that the
    status comes from: one that arrives late still counts, unless a newer one said what the status is.
    """
    return Table(
        "members",
        metadata,
        Column("member_id", Uuid, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("status", Text, nullable=False, server_default="ACTIVE"),
        Column("status_version", BigInteger, nullable=False, server_default="0"),
        Column("registered_at", DateTime(timezone=True)),
        Column("first_login_at", DateTime(timezone=True)),
        CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),
    )


def idempotency_table(metadata: MetaData) -> Table:
    """Returns the table of keys; every service that runs calls once has one."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("rpc", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("reply", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    )
