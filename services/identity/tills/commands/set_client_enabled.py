"""Letting a till get tokens, or no more."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.tills.queries import ClientRow, get_client


async def set_client_enabled(
    connection: Connection, *, actor: Caller, client_id: UUID, enabled: bool
) -> ClientRow:
    """Enables or disables a till. Raises CLIENT_NOT_FOUND."""
    changed = await connection.execute(
        text("UPDATE clients SET enabled = :enabled WHERE id = :id AND enabled <> :enabled RETURNING 1"),
        {"id": client_id, "enabled": enabled},
    )
    if changed.first() is not None:
        await record_own(connection, actor, "client.enabled" if enabled else "client.disabled", client_id)
    return await get_client(connection, client_id)
