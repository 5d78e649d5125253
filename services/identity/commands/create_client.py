"""Making a till."""

from __future__ import annotations

import secrets

from sqlalchemy import text

from services.common.auth import Caller
from services.common.db import Connection
from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.identity.commands.record_audit import record_own
from services.identity.queries import ClientRow
from services.identity.secrets_at_rest import hash_secret


async def create_client(connection: Connection, *, actor: Caller, display_name: str) -> tuple[ClientRow, str]:
    """Makes a till; answers it with its secret, of which only a hash is kept.

    Raises CLIENT_NAME_TAKEN.
    """
    secret = secrets.token_urlsafe(32)
    client = ClientRow(new_id(), display_name, utc_now())
    made = await connection.execute(
        text(
            "INSERT INTO clients (id, display_name, secret_hash, created_at)"
            " VALUES (:id, :display_name, :secret_hash, :created_at)"
            " ON CONFLICT (display_name) DO NOTHING RETURNING 1"
        ),
        {
            "id": client.id,
            "display_name": display_name,
            "secret_hash": hash_secret(secret),
            "created_at": client.created_at,
        },
    )
    if made.first() is None:
        message = "a till of this name exists"
        raise DomainError("CLIENT_NAME_TAKEN", message, display_name=display_name)
    await record_own(connection, actor, "client.created", client.id, display_name=display_name)
    return client, secret
