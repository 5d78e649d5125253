"""Tokens of tills: a part of AuthService."""

from __future__ import annotations

import orjson
from google.api import httpbody_pb2

from services.common.caller import TILL
from services.common.encoding import Context, header
from services.identity.keys import TokenIssuer
from services.identity.tills import client_credentials
from services.identity.tills.proof import TillProof


class TillTokenHandlers:
    """Gives tills their tokens."""

    def __init__(self, proof: TillProof, issuer: TokenIssuer, token_seconds: int) -> None:
        self._proof = proof
        self._issuer = issuer
        self._token_seconds = token_seconds

    async def IssueClientToken(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Returns a token by OAuth 2.0 client credentials (RFC 6749, 4.4)."""
        client_id, secret = client_credentials.parse(request.data, header(context, "authorization"))
        till = await self._proof.till(client_id, secret)
        token = self._issuer.issue(till, TILL, self._token_seconds)
        reply = {"access_token": token.value, "token_type": "Bearer", "expires_in": token.expires_in}
        await context.send_initial_metadata((("cache-control", "no-store"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(reply))
