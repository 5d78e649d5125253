"""Logging in, once it is known who it is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.common.sessions import SessionState
from services.identity.keys.secrets_at_rest import hash_secret
from services.identity.logins.queries import session_state

MOST_SESSIONS = 10
"""Logins that staff may have at once, where they may have several."""


@dataclass(frozen=True)
class OpenedSession:
    """A new login, its first refresh token, and who is logged in now."""

    id: UUID
    refresh_token: str
    expires_at: datetime
    logins: SessionState


async def open_session(
    connection: Connection, *, account_id: UUID, device_id: str, most: int, seconds: int
) -> OpenedSession:
    """Opens a login; of the older ones the newest `most` - 1 stay.

    The account's row is locked first, so of several at once the last to come is the one that stays.
    Raises ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    locked = await connection.execute(
        text(
            "UPDATE accounts SET session_version = session_version + 1"
            " WHERE id = :id AND status = 'ACTIVE' RETURNING 1"
        ),
        {"id": account_id},
    )
    if locked.first() is None:
        raise await _why_not(connection, account_id)
    await connection.execute(
        text(
            "UPDATE sessions SET ended_at = now(), end_reason = 'REPLACED' WHERE id IN"
            " (SELECT id FROM sessions WHERE account_id = :account_id AND ended_at IS NULL"
            " ORDER BY id DESC OFFSET :keep)"
        ),
        {"account_id": account_id, "keep": most - 1},
    )
    session_id, refresh_token = new_id(), secrets.token_urlsafe(32)
    opened = await connection.execute(
        text(
            "WITH opened AS (INSERT INTO sessions (id, account_id, device_id, expires_at)"
            " VALUES (:id, :account_id, :device_id, now() + make_interval(secs => :seconds))"
            " RETURNING id, expires_at)"
            " INSERT INTO refresh_tokens (token_hash, session_id) SELECT :token_hash, id FROM opened"
            " RETURNING (SELECT expires_at FROM opened)"
        ),
        {
            "id": session_id,
            "account_id": account_id,
            "device_id": device_id,
            "seconds": seconds,
            "token_hash": hash_secret(refresh_token),
        },
    )
    expires_at = opened.scalar_one()
    state = await session_state(connection, account_id)
    return OpenedSession(session_id, refresh_token, expires_at, state)


async def _why_not(connection: Connection, account_id: UUID) -> DomainError:
    state = await session_state(connection, account_id)
    if state.status == "suspended":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")
