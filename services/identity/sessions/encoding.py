"""Tokens of logins as protobuf has them."""

from __future__ import annotations

from scrip.identity.v1 import auth_pb2

from services.identity.sessions.session_tokens import SessionToken

BEARER = "Bearer"


def session_token(token: SessionToken) -> auth_pb2.AccessToken:
    """Returns a bearer token, and what renews it."""
    return auth_pb2.AccessToken(
        access_token=token.access.value,
        token_type=BEARER,
        expires_in=token.access.expires_in,
        refresh_token=token.refresh_token,
        refresh_expires_in=token.refresh_expires_in,
    )
