"""Keeping what staff changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.ids import new_id, utc_now


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
    await execute(
        connection,
        """
        INSERT INTO audit_entries (id, service, actor_id, actor_role, action, target_id, occurred_at, details)
        VALUES (
          %(id)s, %(service)s, %(actor_id)s, %(actor_role)s, %(action)s, %(target_id)s, %(occurred_at)s,
          %(details)s
        )
        ON CONFLICT (id) DO NOTHING
        """,
        id=entry_id,
        service=service,
        actor_id=actor.subject,
        actor_role=actor.role,
        action=action,
        target_id=target_id,
        occurred_at=occurred_at,
        details=Jsonb(details, dumps=orjson.dumps),
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


async def record_export(connection: Connection, *, actor: Caller, wanted: Mapping[str, object]) -> None:
    """Keeps that somebody exports audit entries, and which."""
    filters = {name: str(value) for name, value in wanted.items()}
    await record_own(connection, actor, "audit.exported", "", filters=filters)
