"""Making a till."""

from __future__ import annotations

from sqlalchemy import text

from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.keys import hash_secret, new_secret
from services.identity.tills.queries import ClientRow


async def create_client(connection: Connection, *, actor: Caller, display_name: str) -> tuple[ClientRow, str]:
    """Makes a till; answers it with its secret, of which only a hash is kept. Raises CLIENT_NAME_TAKEN."""
    secret = new_secret()
    made = await connection.execute(
        text(
            "INSERT INTO clients (id, display_name, secret_hash) VALUES (:id, :display_name, :secret_hash)"
            " ON CONFLICT (display_name) DO NOTHING RETURNING id, display_name, created_at, enabled"
        ),
        {"id": new_id(), "display_name": display_name, "secret_hash": hash_secret(secret)},
    )
    row = made.first()
    if row is None:
        raise DomainError("CLIENT_NAME_TAKEN", "a till of this name exists", display_name=display_name)
    client = ClientRow(*row)
    await record_own(connection, actor, "client.created", client.id, display_name=display_name)
    return client, secret
