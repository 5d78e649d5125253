"""Opening a login for somebody whose identity is proven."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, execute, fetch_value
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.sessions import SessionState
from services.identity.accounts import lock_active_account
from services.identity.keys import hash_secret
from services.identity.sessions.queries import session_state


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
    if not await lock_active_account(connection, account_id):
        raise await _why_not_active(connection, account_id)
    await execute(
        connection,
        """
        UPDATE sessions SET ended_at = now(), end_reason = 'REPLACED'
        WHERE id IN (
          SELECT id FROM sessions
          WHERE account_id = %(account_id)s AND ended_at IS NULL
          ORDER BY id DESC OFFSET %(keep)s
        )
        """,
        account_id=account_id,
        keep=most - 1,
    )
    session_id, refresh_token = new_id(), secrets.token_urlsafe(32)
    expires_at: datetime = await fetch_value(
        connection,
        """
        WITH opened AS (
          INSERT INTO sessions (id, account_id, device_id, expires_at)
          VALUES (%(id)s, %(account_id)s, %(device_id)s, now() + make_interval(secs => %(seconds)s))
          RETURNING id, expires_at
        )
        INSERT INTO refresh_tokens (token_hash, session_id)
        SELECT %(token_hash)s, id FROM opened
        RETURNING (SELECT expires_at FROM opened)
        """,
        id=session_id,
        account_id=account_id,
        device_id=device_id,
        seconds=seconds,
        token_hash=hash_secret(refresh_token),
    )
    state = await session_state(connection, account_id)
    return OpenedSession(session_id, refresh_token, expires_at, state)


async def _why_not_active(connection: Connection, account_id: UUID) -> DomainError:
    state = await session_state(connection, account_id)
    if state.status == "suspended":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")
