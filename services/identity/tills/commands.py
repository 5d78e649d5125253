"""Making tills, their secrets, and whether they get tokens."""

from __future__ import annotations

from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first
from services.common.errors import DomainError
from services.common.etags import require_etag
from services.common.ids import new_id
from services.identity.audit import record_own
from services.identity.keys import hash_secret, new_secret
from services.identity.tills.queries import TillRow, get_till


async def create_till(connection: Connection, *, actor: Caller, display_name: str) -> tuple[TillRow, str]:
    """Makes a till; returns it with its secret, of which only a hash is kept. Raises CLIENT_NAME_TAKEN."""
    secret = new_secret()
    till = await fetch_first(
        connection,
        TillRow,
        """
        INSERT INTO clients (id, display_name, secret_hash)
        VALUES (%(id)s, %(display_name)s, %(secret_hash)s)
        ON CONFLICT (display_name) WHERE NOT deleted DO NOTHING
        RETURNING id, display_name, created_at, enabled, version
        """,
        id=new_id(),
        display_name=display_name,
        secret_hash=hash_secret(secret),
    )
    if till is None:
        raise _name_taken(display_name)
    await record_own(connection, actor, "client.created", till.id, display_name=display_name)
    return till, secret


async def update_till(
    connection: Connection, *, actor: Caller, till_id: UUID, etag: str, display_name: str | None
) -> TillRow:
    """Gives a till another name; the one that it has changes nothing.

    Raises CLIENT_NOT_FOUND, ETAG_MISMATCH and CLIENT_NAME_TAKEN.
    """
    before = await _locked(connection, till_id, etag)
    if display_name is None or display_name == before.display_name:
        return before
    # Of two that want one name at once the second finds it taken. After the row: others lock rows alone.
    await execute(connection, "LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE")
    renamed = await execute(
        connection,
        """
        UPDATE clients SET display_name = %(display_name)s, version = version + 1
        WHERE id = %(id)s
          AND NOT EXISTS (SELECT FROM clients WHERE display_name = %(display_name)s AND NOT deleted)
        """,
        id=till_id,
        display_name=display_name,
    )
    if not renamed:
        raise _name_taken(display_name)
    names = [before.display_name, display_name]
    await record_own(connection, actor, "client.updated", till_id, display_name=names)
    return await get_till(connection, till_id)


async def delete_till(connection: Connection, *, actor: Caller, till_id: UUID, etag: str) -> None:
    """Takes a till out of all lists and gives it no more tokens. Its row stays, for receipts name it.

    Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
    """
    till = await _locked(connection, till_id, etag)
    await execute(
        connection,
        """
        UPDATE clients SET
          deleted = true, enabled = false, old_secret_hash = NULL, old_secret_ends_at = NULL,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    await record_own(connection, actor, "client.deleted", till_id, display_name=till.display_name)


async def rotate_till_secret(
    connection: Connection, *, actor: Caller, till_id: UUID, overlap_seconds: int, etag: str
) -> tuple[TillRow, str]:
    """Gives a till a new secret and returns both; the present one goes on for `overlap_seconds`.

    The one before that ends at once, for a till has two secrets at most. Raises CLIENT_NOT_FOUND and
    ETAG_MISMATCH.
    """
    await _locked(connection, till_id, etag)
    secret = new_secret()
    await execute(
        connection,
        """
        UPDATE clients SET
          secret_hash = %(secret_hash)s,
          old_secret_hash = CASE WHEN %(overlap)s > 0 THEN secret_hash END,
          old_secret_ends_at = CASE WHEN %(overlap)s > 0 THEN now() + make_interval(secs => %(overlap)s) END,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
        secret_hash=hash_secret(secret),
        overlap=overlap_seconds,
    )
    await record_own(connection, actor, "client.secret_rotated", till_id, overlap_seconds=overlap_seconds)
    return await get_till(connection, till_id), secret


async def set_till_enabled(
    connection: Connection, *, actor: Caller, till_id: UUID, enabled: bool, etag: str
) -> TillRow:
    """Enables or disables a till. Raises CLIENT_NOT_FOUND and ETAG_MISMATCH."""
    before = await _locked(connection, till_id, etag)
    if before.enabled == enabled:
        return before
    await execute(
        connection,
        "UPDATE clients SET enabled = %(enabled)s, version = version + 1 WHERE id = %(id)s",
        id=till_id,
        enabled=enabled,
    )
    await record_own(connection, actor, "client.enabled" if enabled else "client.disabled", till_id)
    return await get_till(connection, till_id)


async def _locked(connection: Connection, till_id: UUID, etag: str) -> TillRow:
    """Returns a till as the caller read it, and keeps it from changing until this transaction ends.

    Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
    """
    await execute(connection, "SELECT FROM clients WHERE id = %(id)s FOR NO KEY UPDATE", id=till_id)
    till = await get_till(connection, till_id)
    require_etag(etag, till.etag, of="till")
    return till


def _name_taken(display_name: str) -> DomainError:
    return DomainError("CLIENT_NAME_TAKEN", "a till of this name exists", display_name=display_name)
