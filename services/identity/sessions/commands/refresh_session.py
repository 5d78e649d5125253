"""Renewing the tokens of a login."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, execute, fetch_first
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.sessions import SessionState
from services.identity.keys import Vault, hash_secret
from services.identity.sessions.commands.end_sessions import end_sessions

GRACE = "10 seconds"
"""For so long a lost response can be asked for again by the same device."""


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
    brand_id: UUID | None = None


@dataclass(frozen=True)
class RefreshTry:
    """The outcome of a try: tokens, or a refusal that is raised after what it caused was committed."""

    refreshed: Refreshed | None
    refusal: DomainError | None
    logins: SessionState | None = None

    def require(self) -> Refreshed:
        """Returns the new tokens' content. Raises the refusal."""
        if self.refreshed is None:
            raise self.refusal or _not_valid()
        return self.refreshed


@dataclass(frozen=True, slots=True)
class _SessionRow:
    id: UUID
    account_id: UUID
    device_id: str
    expires_at: datetime
    end_reason: str | None
    expired: bool
    status: str
    role: str
    brand_id: UUID | None


@dataclass(frozen=True, slots=True)
class _Use:
    used_at: datetime
    answer_id: UUID


async def refresh_session(
    connection: Connection, vault: Vault, *, refresh_token: str, device_id: str, shared: bool = False
) -> RefreshTry:
    """Uses a refresh token once.

    The next one is derived from it, so that the same device can ask again for a lost response. A second use
    by anybody else, or later, or after the response was used, ends the login: a refusal is returned and not
    raised, so that the end is committed. So does any use from another device than the login's, for a token
    that is there has been stolen. A login that names no device is bound to none, and can not ask again.

    With `shared` it comes from a cookie that several tabs have. It is used up only when it is older than the
    time for asking again: otherwise a tab that starts a moment later would use up what the others are still
    waiting for.

    Only the token's row is locked. Tokens for a login that ends at this moment are good for nothing.
    """
    token_hash = hash_secret(refresh_token)
    session = await _session_of(connection, token_hash)
    if session is None:
        return RefreshTry(None, _not_valid())
    if (refusal := _refusal(session)) is not None:
        return RefreshTry(None, refusal)
    if session.device_id not in ("", device_id):
        return await _ended(connection, session)
    next_token = vault.next_refresh_token(refresh_token)
    if shared and (use := await _use_without_using_up(connection, token_hash)) is not None:
        return RefreshTry(_refreshed(session, use, refresh_token), None)
    use = await _use_first(connection, token_hash)
    if use is not None:
        await execute(
            connection,
            "INSERT INTO refresh_tokens (token_hash, session_id) VALUES (%(hash)s, %(session_id)s)",
            hash=hash_secret(next_token),
            session_id=session.id,
        )
    elif session.device_id == device_id != "":
        use = await _use_again(connection, token_hash, next_token)
    if use is None:
        return await _ended(connection, session)
    return RefreshTry(_refreshed(session, use, next_token), None)


def _refreshed(session: _SessionRow, use: _Use, refresh_token: str) -> Refreshed:
    return Refreshed(
        account_id=session.account_id,
        role=session.role,
        session_id=session.id,
        expires_at=session.expires_at,
        answered_at=use.used_at,
        answer_id=use.answer_id,
        refresh_token=refresh_token,
        brand_id=session.brand_id,
    )


async def _ended(connection: Connection, session: _SessionRow) -> RefreshTry:
    ended = await end_sessions(connection, account_id=session.account_id, only=session.id, reason="REUSED")
    return RefreshTry(None, _reused(), ended.logins)


async def _session_of(connection: Connection, token_hash: bytes) -> _SessionRow | None:
    return await fetch_first(
        connection,
        _SessionRow,
        """
        SELECT
          s.id, s.account_id, s.device_id, s.expires_at, s.end_reason, s.expires_at <= now() AS expired,
          a.status, a.role, a.brand_id
        FROM refresh_tokens t
        JOIN sessions s ON s.id = t.session_id
        JOIN login_accounts a ON a.id = s.account_id
        WHERE t.token_hash = %(hash)s
        """,
        hash=token_hash,
    )


async def _use_first(connection: Connection, token_hash: bytes) -> _Use | None:
    """Uses the token; returns None when it was used before."""
    return await fetch_first(
        connection,
        _Use,
        """
        UPDATE refresh_tokens SET used_at = now(), answer_id = %(answer_id)s
        WHERE token_hash = %(hash)s AND used_at IS NULL
        RETURNING used_at, answer_id
        """,
        hash=token_hash,
        answer_id=new_id(),
    )


async def _use_without_using_up(connection: Connection, token_hash: bytes) -> _Use | None:
    """Returns a use, which is not kept, of a token that is unused and was made a moment ago."""
    return await fetch_first(
        connection,
        _Use,
        """
        SELECT now() AS used_at, %(answer_id)s::uuid AS answer_id FROM refresh_tokens
        WHERE token_hash = %(hash)s AND used_at IS NULL AND created_at > now() - %(grace)s::interval
        """,
        hash=token_hash,
        answer_id=new_id(),
        grace=GRACE,
    )


async def _use_again(connection: Connection, token_hash: bytes, next_token: str) -> _Use | None:
    """Returns the first use, if that was a moment ago and the token that it gave is still unused."""
    return await fetch_first(
        connection,
        _Use,
        """
        SELECT t.used_at, t.answer_id
        FROM refresh_tokens t
        JOIN refresh_tokens n ON n.token_hash = %(next_hash)s AND n.used_at IS NULL
        WHERE t.token_hash = %(hash)s AND t.used_at > now() - %(grace)s::interval
        """,
        hash=token_hash,
        next_hash=hash_secret(next_token),
        grace=GRACE,
    )


def _refusal(session: _SessionRow) -> DomainError | None:
    if session.status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    if session.end_reason == "REPLACED":
        return DomainError("SESSION_REPLACED", "logged in on another device since")
    if session.end_reason == "REUSED":
        return _reused()
    if session.end_reason is not None:
        return DomainError("SESSION_ENDED", "the login has ended; log in again")
    if session.expired:
        return DomainError("REFRESH_TOKEN_EXPIRED", "the login is as old as it may become; log in again")
    return None


def _not_valid() -> DomainError:
    return DomainError("REFRESH_TOKEN_NOT_VALID", "the refresh token is not valid")


def _reused() -> DomainError:
    return DomainError(
        "REFRESH_TOKEN_REUSED", "the refresh token was used before, or elsewhere; the login was ended"
    )
