"""The pair of tokens that a login has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.ids import utc_now
from services.identity.keys import Token, TokenIssuer
from services.identity.sessions.commands.open_session import OpenedSession
from services.identity.sessions.commands.refresh_session import Refreshed


@dataclass(frozen=True)
class SessionToken:
    """An access token, the refresh token that renews it, and the seconds until the login ends."""

    access: Token
    refresh_token: str
    refresh_expires_in: int


class SessionTokens:
    """Makes the tokens of logins. An access token never outlives its login."""

    def __init__(self, issuer: TokenIssuer, access_seconds: int) -> None:
        self._issuer = issuer
        self._access_seconds = access_seconds

    def opened(
        self, account_id: UUID, role: str, session: OpenedSession, brand_id: UUID | None = None
    ) -> SessionToken:
        """Returns the first tokens of a login; `brand_id` is the brand of a brand manager."""
        left = _seconds_until(session.expires_at)
        access = self._issuer.issue_for_session(
            account_id,
            role,
            min(self._access_seconds, left),
            session_id=session.id,
            brand_id=brand_id,
        )
        return SessionToken(access, session.refresh_token, left)

    def refreshed(self, refreshed: Refreshed) -> SessionToken:
        """Returns the next tokens of a login; idempotent by `answer_id`."""
        whole = int((refreshed.expires_at - refreshed.answered_at).total_seconds())
        access = self._issuer.issue_for_session(
            refreshed.account_id,
            refreshed.role,
            min(self._access_seconds, whole),
            session_id=refreshed.session_id,
            brand_id=refreshed.brand_id,
            issued_at=refreshed.answered_at,
            token_id=refreshed.answer_id,
        )
        return SessionToken(access, refreshed.refresh_token, _seconds_until(refreshed.expires_at))


def _seconds_until(moment: datetime) -> int:
    return max(0, int((moment - utc_now()).total_seconds()))
