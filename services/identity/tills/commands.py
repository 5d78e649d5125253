"""Making tills, their secrets, and whether they get tokens."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first
from services.common.errors import DomainError
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.sessions import SessionState
from services.identity.audit import record_own
from services.identity.keys import hash_secret, new_secret
from services.identity.sessions import session_state
from services.identity.tills.queries import TillRow, get_till
from services.identity.tills.token_series import EndedTokens, end_till_tokens


@dataclass(frozen=True)
class ChangedTill:
    """The till, and which of its tokens are good now if that changed."""

    till: TillRow
    logins: SessionState | None


@dataclass(frozen=True)
class RotatedSecret:
    """The till, its new secret, and which tokens are good now if that changed."""

    till: TillRow
    secret: str
    logins: SessionState | None


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


async def delete_till(connection: Connection, *, actor: Caller, till_id: UUID, etag: str) -> EndedTokens:
    """Takes a till out of all lists and ends its secrets and tokens. Its row stays, for receipts name it.

    Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
    """
    till = await _locked(connection, till_id, etag)
    await execute(
        connection,
        """
        UPDATE clients SET
          deleted = true, enabled = false, secret_hash = NULL, old_secret_hash = NULL,
          old_secret_ends_at = NULL, version = version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    await record_own(connection, actor, "client.deleted", till_id, display_name=till.display_name)
    return await end_till_tokens(connection, till_id)


async def rotate_till_secret(
    connection: Connection, *, actor: Caller, till_id: UUID, overlap_seconds: int, etag: str
) -> RotatedSecret:
    """Gives a till a new secret and returns it; the present one goes on for `overlap_seconds`.

    The one before that ends at once, for a till has two secrets at most. Without an overlap the tokens end
    too: who has the old secret has tokens by it. Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
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
    ended = None if overlap_seconds else (await end_till_tokens(connection, till_id)).logins
    return RotatedSecret(await get_till(connection, till_id), secret, ended)


async def disable_till(connection: Connection, *, actor: Caller, till_id: UUID, etag: str) -> ChangedTill:
    """Ends the secrets and tokens of a till for good, and gives it no more.

    Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
    """
    before = await _locked(connection, till_id, etag)
    if not before.enabled:
        return ChangedTill(before, None)
    await execute(
        connection,
        """
        UPDATE clients SET
          enabled = false, secret_hash = NULL, old_secret_hash = NULL, old_secret_ends_at = NULL,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    await record_own(connection, actor, "client.disabled", till_id)
    ended = await end_till_tokens(connection, till_id)
    return ChangedTill(await get_till(connection, till_id), ended.logins)


async def enable_till(connection: Connection, *, actor: Caller, till_id: UUID, etag: str) -> ChangedTill:
    """Lets a till get tokens, by a secret that it got since it was disabled.

    Raises CLIENT_NOT_FOUND and ETAG_MISMATCH.
    """
    before = await _locked(connection, till_id, etag)
    if before.enabled:
        return ChangedTill(before, None)
    await execute(
        connection,
        """
        UPDATE clients SET enabled = true, token_version = token_version + 1, version = version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    await record_own(connection, actor, "client.enabled", till_id)
    return ChangedTill(await get_till(connection, till_id), await session_state(connection, till_id))


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
