"""What staff changed. The row commits with the change; a job takes it to identity, which lists them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common import jobs
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first
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


async def record(
    connection: Connection, actor: Caller, action: str, target_id: object, **details: object
) -> None:
    """Writes down that `actor` did `action` (such as `voucher.created`) to a target."""
    entry_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO audit_outbox (id, actor_id, actor_role, action, target_id, details)
        VALUES (%(id)s, %(actor_id)s, %(actor_role)s, %(action)s, %(target_id)s, %(details)s)
        """,
        id=entry_id,
        actor_id=actor.subject,
        actor_role=actor.role,
        action=action,
        target_id=str(target_id),
        details=Jsonb(details, dumps=_dumps),
    )
    await jobs.defer(connection, FORWARD_JOB, entry_id=str(entry_id))


def _dumps(details: object) -> bytes:
    return orjson.dumps(details, default=str)


async def pending(connection: Connection, entry_id: UUID) -> AuditEntry | None:
    """Returns the entry, or None when identity has it already."""
    return await fetch_first(
        connection, AuditEntry, "SELECT * FROM audit_outbox WHERE id = %(id)s", id=entry_id
    )


async def forwarded(connection: Connection, entry_id: UUID) -> None:
    """Removes an entry that identity has."""
    await execute(connection, "DELETE FROM audit_outbox WHERE id = %(id)s", id=entry_id)
