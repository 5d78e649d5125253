"""Making a till."""

from __future__ import annotations

import secrets

from sqlalchemy import text

from services.common.auth import Caller
from services.common.db import Connection
from services.common.ids import new_id, utc_now
from services.identity.commands.record_audit import record_own
from services.identity.queries import ClientRow
from services.identity.secrets_at_rest import hash_secret


async def create_client(connection: Connection, *, actor: Caller, display_name: str) -> tuple[ClientRow, str]:
    """Makes a till; answers it with its secret, of which only a hash is kept.

    Raises CLIENT_NAME_TAKEN (by constraint).
    """
    secret = secrets.token_urlsafe(32)
    client = ClientRow(new_id(), display_name, utc_now())
    await connection.execute(
        text(
            "INSERT INTO clients (id, display_name, secret_hash, created_at)"
            " VALUES (:id, :display_name, :secret_hash, :created_at)"
        ),
        {
            "id": client.id,
            "display_name": display_name,
            "secret_hash": hash_secret(secret),
            "created_at": client.created_at,
        },
    )
    await record_own(connection, actor, "client.created", client.id, display_name=display_name)
    return client, secret
