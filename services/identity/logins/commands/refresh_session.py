"""Going on with a login."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.common.sessions import SessionState
from services.identity.keys.secrets_at_rest import Vault, hash_secret
from services.identity.logins.commands.end_sessions import end_sessions

GRACE = "10 seconds"
"""For so long a lost answer can be asked for again by the same device."""


@dataclass(frozen=True)
class Refreshed:
    """What goes into the new tokens. `answered_at` and `answer_id` are the access token's `iat` and `jti`."""

    account_id: UUID
    role: str
    session_id: UUID
    expires_at: datetime
    answered_at: datetime
    answer_id: UUID
    refresh_token: str


@dataclass(frozen=True)
class RefreshTry:
    """The outcome of a try: tokens, or a refusal that is raised after what it caused was committed."""

    refreshed: Refreshed | None
    refusal: DomainError | None
    logins: SessionState | None = None

    def require(self) -> Refreshed:
        """The new tokens' content. Raises the refusal."""
        if self.refreshed is None:
            raise self.refusal or DomainError("REFRESH_TOKEN_NOT_VALID", "the refresh token is not valid")
        return self.refreshed


async def refresh_session(
    connection: Connection, vault: Vault, *, refresh_token: str, device_id: str
) -> RefreshTry:
    """Uses a refresh token once.

    The next one is derived from it, so that the same device can ask again for a lost answer. A second
    use by anybody else, or later, or after the answer has served, ends the login: it answers a refusal,
    so that the end is committed. Who names no device can not ask again.

    Only the token's row is locked. Tokens for a login that ends at this moment are good for nothing.
    """
    token_hash = hash_secret(refresh_token)
    session = await connection.execute(
        text(
            "SELECT s.id, s.account_id, s.device_id, s.expires_at, s.end_reason, a.status,"
            " coalesce(f.role, 'member') AS role, s.expires_at <= now() AS expired"
            " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id"
            " JOIN accounts a ON a.id = s.account_id LEFT JOIN staff f ON f.id = a.id"
            " WHERE t.token_hash = :hash"
        ),
        {"hash": token_hash},
    )
    row = session.first()
    if row is None:
        return RefreshTry(None, DomainError("REFRESH_TOKEN_NOT_VALID", "the refresh token is not valid"))
    if (refusal := _refusal(row.status, row.end_reason, expired=row.expired)) is not None:
        return RefreshTry(None, refusal)
    used = await connection.execute(
        text(
            "UPDATE refresh_tokens SET used_at = now(), answer_id = :answer_id WHERE token_hash = :hash"
            " AND used_at IS NULL RETURNING used_at, answer_id"
        ),
        {"hash": token_hash, "answer_id": new_id()},
    )
    answer = used.first()
    next_token = vault.next_refresh_token(refresh_token)
    if answer is None:
        same_device = row.device_id == device_id != ""
        answer = await _answer_again(connection, token_hash, next_token) if same_device else None
        if answer is None:
            ended = await end_sessions(connection, account_id=row.account_id, only=row.id, reason="REUSED")
            return RefreshTry(None, _reused(), ended.logins)
    else:
        await connection.execute(
            text("INSERT INTO refresh_tokens (token_hash, session_id) VALUES (:hash, :session_id)"),
            {"hash": hash_secret(next_token), "session_id": row.id},
        )
    refreshed = Refreshed(
        row.account_id, row.role, row.id, row.expires_at, answer.used_at, answer.answer_id, next_token
    )
    return RefreshTry(refreshed, None)


async def _answer_again(connection: Connection, token_hash: bytes, next_token: str) -> Row[Any] | None:
    """When and with which id the token was used, if that was a moment ago and nothing came of it since."""
    result = await connection.execute(
        text(
            "SELECT t.used_at, t.answer_id FROM refresh_tokens t JOIN refresh_tokens n"
            " ON n.token_hash = :next_hash AND n.used_at IS NULL"
            " WHERE t.token_hash = :hash AND t.used_at > now() - CAST(:grace AS interval)"
        ),
        {"hash": token_hash, "next_hash": hash_secret(next_token), "grace": GRACE},
    )
    return result.first()


def _refusal(status: str, end_reason: str | None, *, expired: bool) -> DomainError | None:
    if status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    if end_reason == "REPLACED":
        return DomainError("SESSION_REPLACED", "logged in on another device since")
    if end_reason == "REUSED":
        return _reused()
    if end_reason is not None:
        return DomainError("SESSION_ENDED", "the login has ended; log in again")
    if expired:
        return DomainError("REFRESH_TOKEN_EXPIRED", "the login is as old as it may become; log in again")
    return None


def _reused() -> DomainError:
    return DomainError("REFRESH_TOKEN_REUSED", "the refresh token was used before; the login was ended")
