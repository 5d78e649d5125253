"""Tables of several services, names for constraints, column types. For migrations and tests only."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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


def search_words_table(metadata: MetaData) -> Table:
    """Returns the table of words that searches know, with what is left of each when letters are left out."""
    return Table(
        "search_words",
        metadata,
        Column("word", Text, primary_key=True),
        Column("remainders", ARRAY(Text), nullable=False),
        Index(
            "ix_search_words_remainders",
            "remainders",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        ),
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


def webhook_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """Returns the tables of webhooks: endpoints, what they are told, and each attempt to tell them."""
    return _webhook_endpoints(metadata), _webhook_deliveries(metadata), _webhook_attempts(metadata)


def _webhook_endpoints(metadata: MetaData) -> Table:
    """`slot` numbers an owner's endpoints, so that there are never too many; deleted ones have none.

    While `old_secret` has time left, it signs beside `secret`. `failing_since` is set from the first failure
    after a success to the next success, `gone_at` when the receiver said that it is gone for good.
    """
    return Table(
        "webhook_endpoints",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("owner_id", Uuid, nullable=False),
        Column("slot", SmallInteger),
        Column("url", Text, nullable=False),
        Column("description", Text, nullable=False, server_default=""),
        Column("kinds", ARRAY(Text), nullable=False),
        Column("enabled", Boolean, nullable=False, server_default="true"),
        Column("secret", LargeBinary, nullable=False),
        Column("old_secret", LargeBinary),
        Column("old_secret_expires_at", DateTime(timezone=True)),
        Column("failing_since", DateTime(timezone=True)),
        Column("gone_at", DateTime(timezone=True)),
        Column("version", Integer, nullable=False, server_default="1"),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("deleted_at", DateTime(timezone=True)),
        UniqueConstraint("owner_id", "slot"),
        CheckConstraint("slot BETWEEN 1 AND 10", name="slot_in_range"),
        CheckConstraint("(deleted_at IS NULL) = (slot IS NOT NULL)", name="slot_until_deleted"),
        CheckConstraint(
            "(old_secret IS NULL) = (old_secret_expires_at IS NULL)", name="old_secret_with_its_end"
        ),
    )


def _webhook_deliveries(metadata: MetaData) -> Table:
    """One row for each event and endpoint: what is to be sent, and its place in the queue.

    `tries` counts the attempts since it was queued, or queued again by staff; `attempts` all. Whoever sends
    it has it for itself until `sending_until`. There is no foreign key to the endpoint, for it would lock the
    endpoint's row in each transaction that has something to tell.
    """
    return Table(
        "webhook_deliveries",
        metadata,
        Column("endpoint_id", Uuid, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("subject_id", Uuid, nullable=False),
        Column("member_id", Uuid),
        Column("occurred_at", DateTime(timezone=True), nullable=False),
        Column("state", Text, nullable=False, server_default="PENDING"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("next_attempt_at", DateTime(timezone=True)),
        Column("sending_until", DateTime(timezone=True)),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("completed_at", DateTime(timezone=True)),
        CheckConstraint("state IN ('PENDING', 'SUCCEEDED', 'FAILED')", name="state_known"),
        CheckConstraint("(state = 'PENDING') = (next_attempt_at IS NOT NULL)", name="pending_has_a_time"),
        CheckConstraint("(state = 'PENDING') = (completed_at IS NULL)", name="completed_has_a_time"),
        CheckConstraint("state = 'PENDING' OR sending_until IS NULL", name="sent_while_pending"),
        Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("state = 'PENDING'"),
        ),
        Index(
            "ix_webhook_deliveries_sending",
            "endpoint_id",
            postgresql_where=text("sending_until IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_endpoint_id", "endpoint_id", "created_at", "event_id"),
        Index("ix_webhook_deliveries_state", "endpoint_id", "state", "created_at", "event_id"),
        Index("ix_webhook_deliveries_kind", "endpoint_id", "kind", "created_at", "event_id"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )


def _webhook_attempts(metadata: MetaData) -> Table:
    """What came of an attempt: the receiver's status, or why there was none. One that died left no row."""
    return Table(
        "webhook_attempts",
        metadata,
        Column("endpoint_id", Uuid, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("started_at", DateTime(timezone=True), nullable=False),
        Column("duration_ms", Integer, nullable=False),
        Column("status", SmallInteger),
        Column("error", Text),
        ForeignKeyConstraint(
            ["endpoint_id", "event_id"],
            ["webhook_deliveries.endpoint_id", "webhook_deliveries.event_id"],
            ondelete="CASCADE",
        ),
    )
