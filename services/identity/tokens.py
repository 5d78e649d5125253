"""Access tokens: JWTs signed with RS256 (RFC 9068)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from services.common.auth import INTERNAL_AUDIENCE, ISSUER, PUBLIC_AUDIENCE, SERVICE, TOKEN_TYPE
from services.common.ids import new_id
from services.identity.keys import SigningKey

SERVICE_TOKEN_SECONDS = 3_600


@dataclass(frozen=True)
class Token:
    """A token and its life in seconds."""

    value: str
    expires_in: int


class TokenIssuer:
    """Signs tokens."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def issue(self, subject: object, role: str, seconds: int) -> Token:
        """A token for a member, staff or a till."""
        return self._sign(PUBLIC_AUDIENCE, str(subject), role, seconds)

    def issue_for_service(self, service: str) -> Token:
        """A token for a service, of the audience that no public RPC accepts."""
        return self._sign(INTERNAL_AUDIENCE, service, SERVICE, SERVICE_TOKEN_SECONDS)

    async def own_token(self) -> str:
        """Identity's token for calls to the other services."""
        return self.issue_for_service("identity").value

    def _sign(self, audience: str, subject: str, role: str, seconds: int) -> Token:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": subject,
            "role": role,
            "iat": now,
            "exp": now + seconds,
            "jti": str(new_id()),
        }
        headers = {"kid": self._key.id, "typ": TOKEN_TYPE}
        return Token(jwt.encode(claims, self._key.private_key, "RS256", headers), seconds)
