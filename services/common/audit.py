"""What staff changed. The row commits with the change; a job takes it to identity, which lists them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from services.common import jobs
from services.common.auth import Caller
from services.common.db import Connection
from services.common.ids import new_id

FORWARD_JOB = "forward_audit"


@dataclass(frozen=True)
class AuditEntry:
    """One change made by staff."""

    id: UUID
    actor_id: str
    actor_role: str
    action: str
    target_id: str
    occurred_at: datetime
    details: dict[str, Any]


def audit_table(metadata: MetaData) -> Table:
    """The table of entries that are on their way to identity."""
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


async def record(
    connection: Connection, actor: Caller, action: str, target_id: object, **details: object
) -> None:
    """Writes down that `actor` did `action` (such as `voucher.created`) to a target."""
    entry_id = new_id()
    await connection.execute(
        text(
            "INSERT INTO audit_outbox (id, actor_id, actor_role, action, target_id, details)"
            " VALUES (:id, :actor_id, :actor_role, :action, :target_id, CAST(:details AS jsonb))"
        ),
        {
            "id": entry_id,
            "actor_id": actor.subject,
            "actor_role": actor.role,
            "action": action,
            "target_id": str(target_id),
            "details": orjson.dumps(details, default=str).decode(),
        },
    )
    await jobs.defer(connection, FORWARD_JOB, entry_id=str(entry_id))


async def pending(connection: Connection, entry_id: UUID) -> AuditEntry | None:
    """The entry, unless identity has it already."""
    result = await connection.execute(text("SELECT * FROM audit_outbox WHERE id = :id"), {"id": entry_id})
    row = result.mappings().first()
    return AuditEntry(**row) if row else None


async def forwarded(connection: Connection, entry_id: UUID) -> None:
    """Identity has the entry."""
    await connection.execute(text("DELETE FROM audit_outbox WHERE id = :id"), {"id": entry_id})
