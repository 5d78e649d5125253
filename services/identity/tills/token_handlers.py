"""Tokens of tills: a part of AuthService."""

from __future__ import annotations

from typing import NoReturn

import orjson
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2

from services.common import status
from services.common.encoding import Context, header
from services.common.errors import DomainError
from services.identity.keys import TokenIssuer
from services.identity.tills import client_credentials
from services.identity.tills.client_credentials import OAuthError
from services.identity.tills.proof import TillProof


class TillTokenHandlers:
    """Gives tills their tokens."""

    def __init__(self, proof: TillProof, issuer: TokenIssuer, token_seconds: int) -> None:
        self._proof = proof
        self._issuer = issuer
        self._token_seconds = token_seconds

    async def IssueClientToken(
        self, request: auth_pb2.IssueClientTokenRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Returns a token by OAuth 2.0 client credentials (RFC 6749, 4.4)."""
        try:
            client_id, secret = client_credentials.parse(
                request.form.content_type, request.form.data, header(context, "authorization")
            )
            till = await self._proof.till(client_id, secret)
            token = self._issuer.issue_for_till(till.id, self._token_seconds, series=till.token_series)
        except OAuthError as error:
            await _refuse(context, error.refusal, error.word)
        except DomainError as error:
            await _refuse(context, error, client_credentials.word_of(error))
        reply = {"access_token": token.value, "token_type": "Bearer", "expires_in": token.expires_in}
        await context.send_initial_metadata((("cache-control", "no-store"), ("pragma", "no-cache")))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(reply))


async def _refuse(context: Context, refusal: DomainError, word: str) -> NoReturn:
    """Ends the call; the edge makes of the word what RFC 6749 says (5.2)."""
    where = "IssueClientToken"
    await status.abort(context, status.of_any(refusal, where), (("x-oauth-error", word),))
    raise AssertionError("abort never returns")
