"""Tables of several services, names for constraints, column types. For migrations and tests only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

TYPES: dict[Any, Any] = {datetime: DateTime(timezone=True), str: Text, bytes: LargeBinary}
"""Column types by annotation: moments in UTC, texts without a length of their own."""


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


def audit_table(metadata: MetaData) -> Table:
    """The table of audit entries that are on their way to identity."""
    return Table(
        "audit_outbox",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("actor_id", Text, nullable=False),
        Column("actor_role", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("target_id", Text, nullable=False),
        Column("occurred_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("details", JSONB, nullable=False),
    )


def idempotency_table(metadata: MetaData) -> Table:
    """The table of keys; every service that runs calls once has one."""
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
