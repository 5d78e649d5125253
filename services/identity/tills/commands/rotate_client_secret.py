"""Giving a till a new secret."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.identity.audit.commands import record_own
from services.identity.keys import hash_secret, new_secret
from services.identity.tills.queries import client_not_found


async def rotate_client_secret(
    connection: Connection, *, actor: Caller, client_id: UUID, overlap_seconds: int
) -> str:
    """Gives a till a new secret and answers it; the present one goes on for `overlap_seconds`.

    The one before that ends at once, for a till has two secrets at most. Raises CLIENT_NOT_FOUND.
    """
    secret = new_secret()
    rotated = await connection.execute(
        text(
            "UPDATE clients SET secret_hash = :secret_hash,"
            " old_secret_hash = CASE WHEN :overlap > 0 THEN secret_hash END,"
            " old_secret_ends_at = CASE WHEN :overlap > 0 THEN now() + make_interval(secs => :overlap) END"
            " WHERE id = :id RETURNING old_secret_ends_at"
        ),
        {"id": client_id, "secret_hash": hash_secret(secret), "overlap": overlap_seconds},
    )
    if rotated.first() is None:
        raise client_not_found(client_id)
    await record_own(connection, actor, "client.secret_rotated", client_id, overlap_seconds=overlap_seconds)
    return secret
