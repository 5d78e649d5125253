"""Access tokens: JWTs signed with RS256 (RFC 9068)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import jwt

from services.common.auth import INTERNAL_AUDIENCE, ISSUER, PUBLIC_AUDIENCE, TOKEN_TYPE
from services.common.caller import SERVICE, TILL
from services.common.ids import new_id, utc_now
from services.identity.keys.signing_keys import SigningKeys

LONGEST_TOKEN_SECONDS = 86_400
"""What the settings allow at most."""
SERVICE_TOKEN_SECONDS = 3_600


@dataclass(frozen=True)
class Token:
    """A token and its life in seconds."""

    value: str
    expires_in: int


class TokenIssuer:
    """Signs tokens."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def issue_for_till(self, till_id: object, seconds: int, *, series: object) -> Token:
        """Returns a token for a till, that ends at the latest when its series does."""
        return self._sign(PUBLIC_AUDIENCE, str(till_id), TILL, seconds, sid=str(series))

    def issue_for_session(
        self,
        subject: object,
        role: str,
        seconds: int,
        *,
        session_id: object,
        brand_id: UUID | None = None,
        issued_at: datetime | None = None,
        token_id: UUID | None = None,
    ) -> Token:
        """Returns a token for a member or staff, that lives no longer than its login.

        `brand_id` is the brand that a brand manager works for.
        The same `issued_at` and `token_id` give the same token, also when another key signs by now.
        """
        brand = {"brand": str(brand_id)} if brand_id else {}
        return self._sign(
            PUBLIC_AUDIENCE,
            str(subject),
            role,
            seconds,
            issued_at=issued_at,
            **brand,
            sid=str(session_id),
            jti=str(token_id or new_id()),
        )

    def issue_for_service(self, service: str) -> Token:
        """Returns a token for a service, of the audience that no public RPC accepts."""
        return self._sign(INTERNAL_AUDIENCE, service, SERVICE, SERVICE_TOKEN_SECONDS)

    async def own_token(self) -> str:
        """Returns identity's token for calls to the other services."""
        return self.issue_for_service("identity").value

    def _sign(
        self,
        audience: str,
        subject: str,
        role: str,
        seconds: int,
        *,
        issued_at: datetime | None = None,
        **claims: str | int,
    ) -> Token:
        issued = issued_at or utc_now()
        content: dict[str, str | int] = {
            "iss": ISSUER,
            "aud": audience,
            "sub": subject,
            "role": role,
            "iat": int(issued.timestamp()),
            "exp": int(issued.timestamp()) + seconds,
            "jti": str(new_id()),
            **claims,
        }
        key = self._keys.at(issued)
        headers = {"kid": key.id, "typ": TOKEN_TYPE}
        left = max(0, int(content["exp"]) - int(time.time()))
        return Token(jwt.encode(content, key.private_key, "RS256", headers), left)


def token_expiry(authorization: str) -> datetime:
    """Returns when the token in an `authorization` header expires; it was verified before the call."""
    token = authorization.partition(" ")[2]
    claims = jwt.decode(token, options={"verify_signature": False})
    return datetime.fromtimestamp(int(claims["exp"]), UTC)
