"""The public keys that verify tokens, and the tokens of services."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import orjson
from google.api import httpbody_pb2
from scrip.identity.internal.v1 import identity_pb2
from scrip.identity.v1 import auth_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.identity.keys.signing_keys import read_jwks
from services.identity.keys.tokens import TokenIssuer
from services.identity.keys.vault import hash_secret


class KeyHandlers:
    """Publishes the keys: a part of AuthService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns the public keys, cacheable for a minute."""
        jwks = await self._db.read(read_jwks)
        await context.send_initial_metadata((("cache-control", "public, max-age=60"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(jwks))


class ServiceTokenHandlers:
    """Gives services their tokens: a part of IdentityInternalService."""

    def __init__(self, issuer: TokenIssuer, secret_hashes: Mapping[str, str]) -> None:
        self._issuer = issuer
        self._secret_hashes = {name: bytes.fromhex(value) for name, value in secret_hashes.items()}

    async def IssueServiceToken(
        self, request: identity_pb2.IssueServiceTokenRequest, context: Context
    ) -> identity_pb2.IssueServiceTokenResponse:
        """Returns a token for a service that knows its secret."""
        kept = self._secret_hashes.get(request.service)
        if kept is None or not hmac.compare_digest(kept, hash_secret(request.secret)):
            raise DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")
        token = self._issuer.issue_for_service(request.service)
        return identity_pb2.IssueServiceTokenResponse(token=token.value, expires_in=token.expires_in)
