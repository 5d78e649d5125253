"""Identity's rows as protobuf has them."""

from __future__ import annotations

from scrip.identity.v1 import auth_pb2, client_pb2, member_pb2

from services.common.encoding import timestamp
from services.identity.queries import ClientRow, MemberRow
from services.identity.tokens import Token

BEARER = "Bearer"


def member(row: MemberRow) -> member_pb2.Member:
    """A member."""
    return member_pb2.Member(
        id=str(row.id), full_name=row.full_name, phone=row.phone, registered_at=timestamp(row.registered_at)
    )


def client(row: ClientRow) -> client_pb2.Client:
    """A till."""
    return client_pb2.Client(
        id=str(row.id), display_name=row.display_name, created_at=timestamp(row.created_at)
    )


def token(issued: Token) -> auth_pb2.AccessToken:
    """A bearer token."""
    return auth_pb2.AccessToken(access_token=issued.value, token_type=BEARER, expires_in=issued.expires_in)
