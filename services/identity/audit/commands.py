"""Keeping what staff changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from services.common.caller import Caller
from services.common.ids import new_id, utc_now
from services.common.legacy_db import Connection


async def record_audit(
    connection: Connection,
    *,
    entry_id: UUID,
    service: str,
    actor: Caller,
    action: str,
    target_id: str,
    occurred_at: datetime,
    details: dict[str, Any],
) -> None:
    """Keeps an entry, once by its id."""
    await connection.execute(
        text(
            "INSERT INTO audit_entries"
            " (id, service, actor_id, actor_role, action, target_id, occurred_at, details)"
            " VALUES (:id, :service, :actor_id, :actor_role, :action, :target_id, :occurred_at,"
            " CAST(:details AS jsonb)) ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": entry_id,
            "service": service,
            "actor_id": actor.subject,
            "actor_role": actor.role,
            "action": action,
            "target_id": target_id,
            "occurred_at": occurred_at,
            "details": orjson.dumps(details).decode(),
        },
    )


async def record_own(
    connection: Connection, actor: Caller, action: str, target_id: object, **details: object
) -> None:
    """Keeps an entry of identity's own."""
    await record_audit(
        connection,
        entry_id=new_id(),
        service="identity",
        actor=actor,
        action=action,
        target_id=str(target_id),
        occurred_at=utc_now(),
        details=details,
    )
