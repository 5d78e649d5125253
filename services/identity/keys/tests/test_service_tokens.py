"""Tokens of services: had for a secret, and of use nowhere outside."""

from __future__ import annotations

import secrets

import grpc
import jwt
import pytest
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import client_pb2, client_pb2_grpc, member_pb2, member_pb2_grpc

from tests.inprocess import InProcess, Platform, bearer, reason, refused_status


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[identity_pb2_grpc.IdentityInternalServiceStub]:
    return identity_pb2_grpc.IdentityInternalServiceStub


def secret_of(platform: Platform, service: str) -> str:
    """Returns the secret that a service was given."""
    return str(platform.settings[service].service_secret.get_secret_value())


async def test_the_right_secret_gets_a_token_of_the_internal_audience(
    grpc_stub: identity_pb2_grpc.IdentityInternalServiceStub, platform: Platform
) -> None:
    request = identity_pb2.IssueServiceTokenRequest(service="points", secret=secret_of(platform, "points"))
    reply = await grpc_stub.IssueServiceToken(request)
    claims = jwt.decode(reply.token, options={"verify_signature": False})
    assert (claims["aud"], claims["sub"], claims["role"]) == ("scrip-internal", "points", "service")
    assert claims["exp"] - claims["iat"] == reply.expires_in == 3600
    resolve = identity_pb2.BatchResolveMemberCodesRequest(member_codes=["X"])
    assert not (await grpc_stub.BatchResolveMemberCodes(resolve, metadata=bearer(reply.token))).members


@pytest.mark.covers("I3 IdentityInternalService.IssueServiceToken")
async def test_wrong_secrets_and_the_secrets_of_others_look_alike(
    grpc_stub: identity_pb2_grpc.IdentityInternalServiceStub, platform: Platform
) -> None:
    answers = [
        await refused_status(
            grpc_stub.IssueServiceToken(
                identity_pb2.IssueServiceTokenRequest(service="points", secret=secret)
            )
        )
        for secret in (secret_of(platform, "vouchers"), secrets.token_urlsafe(32), "x" * 16)
    ]
    assert answers[0][1] is grpc.StatusCode.UNAUTHENTICATED
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("service", "secret"), [("identity", "x" * 40), ("nobody", "x" * 40), ("", "x" * 40), ("points", "short")]
)
async def test_what_can_be_no_service_or_secret_is_refused(
    grpc_stub: identity_pb2_grpc.IdentityInternalServiceStub, service: str, secret: str
) -> None:
    request = identity_pb2.IssueServiceTokenRequest(service=service, secret=secret)
    assert await reason(grpc_stub.IssueServiceToken(request)) == "VALIDATION_FAILED"


@pytest.mark.covers("I3 IdentityInternalService.IssueServiceToken")
async def test_public_calls_refuse_a_service_token_whoever_s_it_is(platform: Platform) -> None:
    members = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    clients = client_pb2_grpc.ClientServiceStub(platform.channels["identity"])
    for service in ("identity", "points", "vouchers", "promos"):
        metadata = bearer(await platform.service_token(service))
        assert await reason(members.GetMe(member_pb2.GetMeRequest(), metadata=metadata)) == "TOKEN_NOT_VALID"
        listing = clients.ListClients(client_pb2.ListClientsRequest(), metadata=metadata)
        assert await reason(listing) == "TOKEN_NOT_VALID"


async def test_secrets_are_known_to_identity_as_hashes_alone(
    in_process: InProcess, platform: Platform
) -> None:
    kept = str(platform.settings["identity"].service_secret_hashes)
    for service in ("points", "vouchers", "promos"):
        assert secret_of(platform, service) not in kept
