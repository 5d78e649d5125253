"""Every RPC of every service, called as everybody: the outcome is the one that its permission declares."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.auth import INTERNAL_AUDIENCE, ISSUER, PUBLIC_AUDIENCE, TOKEN_TYPE
from services.common.ids import new_id, utc_now
from services.identity.keys import SigningKeys
from tests.contract.descriptors import ROLES, Rpc, rpcs
from tests.inprocess import Platform

SERVICES = ("identity", "points", "vouchers", "promos")
OF_TOKENS = {"TOKEN_MISSING", "TOKEN_NOT_VALID", "TOKEN_EXPIRED", "ROLE_NOT_ALLOWED", "SESSION_ENDED"}
PUBLIC = [rpc for rpc in rpcs() if not rpc.internal]
INTERNAL = [rpc for rpc in rpcs() if rpc.internal]


@dataclass(frozen=True)
class Signer:
    """Signs tokens with identity's own key, of any content."""

    key_id: str
    private_key: rsa.RSAPrivateKey

    def token(self, role: str, subject: str = "", **claims: Any) -> str:
        """Returns a token that is good but for what `claims` say."""
        now = int(time.time())
        standard = {
            "iss": ISSUER,
            "aud": PUBLIC_AUDIENCE,
            "sub": subject or str(new_id()),
            "role": role,
            "sid": str(new_id()),
            "iat": now,
            "exp": now + 600,
        }
        headers = {"kid": self.key_id, "typ": TOKEN_TYPE}
        return jwt.encode(standard | claims, self.private_key, "RS256", headers)

    def internal(self, service: str, role: str = "service") -> str:
        """Returns a service's token."""
        return self.token(role, service, aud=INTERNAL_AUDIENCE)


@pytest.fixture(scope="module")
async def signer(platform: Platform) -> Signer:
    """Identity's key in the test's hands."""
    keys = SigningKeys(platform.databases["identity"], platform.vault)
    await keys.refresh()
    key = keys.at(utc_now())
    return Signer(key.id, key.private_key)


@pytest.fixture(scope="module")
def bad_tokens(signer: Signer) -> Mapping[str, str]:
    """Tokens that nobody may use for a public RPC, and the reason that each gets."""
    forger = Signer(signer.key_id, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    past = int(time.time()) - 60
    unsigned = jwt.encode({"sub": "x", "role": "admin"}, "", "none", {"kid": signer.key_id})
    return {
        "": "TOKEN_MISSING",
        "Bearer": "TOKEN_MISSING",
        "Basic YTpi": "TOKEN_MISSING",
        "Bearer not-a-token": "TOKEN_NOT_VALID",
        f"Bearer {forger.token('admin')}": "TOKEN_NOT_VALID",
        f"Bearer {unsigned}": "TOKEN_NOT_VALID",
        f"Bearer {signer.token('admin', iss='another')}": "TOKEN_NOT_VALID",
        f"Bearer {signer.internal('vouchers')}": "TOKEN_NOT_VALID",
        f"Bearer {signer.token('admin', aud=INTERNAL_AUDIENCE)}": "TOKEN_NOT_VALID",
        f"Bearer {signer.token('admin', iat=past, exp=past + 1)}": "TOKEN_EXPIRED",
    }


def served_by(platform: Platform, rpc: Rpc) -> list[str]:
    """Returns the services that serve an RPC."""
    name = f"{rpc.package}.{rpc.service}"
    return [
        service
        for service, running in platform.running.items()
        if name in {servicer.name for servicer in running._service.servicers}
    ]


async def call(platform: Platform, service: str, rpc: Rpc, authorization: str) -> str:
    """Calls an RPC with an empty request; the reason of the refusal, or an empty text when it was allowed."""
    channel = platform.channels[service]
    metadata = [("authorization", authorization)] if authorization else []
    method: Any = channel.unary_stream(rpc.path) if rpc.streams else channel.unary_unary(rpc.path)
    try:
        answer = method(b"", metadata=metadata, timeout=5)
        if rpc.streams:
            await answer.read()
        else:
            await answer
    except grpc.aio.AioRpcError as error:
        return reason_of(rpc, error)
    return ""


def reason_of(rpc: Rpc, error: grpc.aio.AioRpcError) -> str:
    """Returns the reason of a refusal that is none of ours to be ashamed of."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what a Call has
    assert status is not None, f"{rpc.path}: a bare {error.code()}: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info), f"{rpc.path}: no ErrorInfo in {status}"
    assert info.reason not in {"INTERNAL", "DEPENDENCY_UNAVAILABLE"}, f"{rpc.path}: {status}"
    return str(info.reason)


async def test_every_described_service_is_served_where_it_belongs(platform: Platform) -> None:
    for rpc in rpcs():
        owner = rpc.package.split(".")[1]
        expected = sorted(set(SERVICES) - {"identity"}) if owner == "common" else [owner]
        assert sorted(served_by(platform, rpc)) == expected, rpc.path


async def test_services_serve_nothing_else(platform: Platform) -> None:
    described = {f"{rpc.package}.{rpc.service}" for rpc in rpcs()}
    served = {s.name for running in platform.running.values() for s in running._service.servicers}
    assert served == described


@pytest.mark.parametrize("rpc", PUBLIC, ids=lambda rpc: rpc.short_name)
async def test_bad_tokens_are_told_apart_where_a_token_is_needed(
    platform: Platform, bad_tokens: Mapping[str, str], rpc: Rpc
) -> None:
    [service] = served_by(platform, rpc)
    for authorization, expected in bad_tokens.items():
        reason = await call(platform, service, rpc, authorization)
        if rpc.permission.anyone:
            assert reason not in OF_TOKENS, authorization
        else:
            assert reason == expected, authorization


@pytest.mark.covers("I6 AuthService.LogIn")
@pytest.mark.parametrize("rpc", PUBLIC, ids=lambda rpc: rpc.short_name)
async def test_each_role_may_call_what_is_declared(platform: Platform, signer: Signer, rpc: Rpc) -> None:
    [service] = served_by(platform, rpc)
    for role in (*ROLES, "service", "brand", ""):
        token = await platform.token(role) if role in ROLES else signer.token(role)
        reason = await call(platform, service, rpc, f"Bearer {token}")
        if rpc.permission.anyone or role in rpc.roles:
            assert reason not in OF_TOKENS, role
        else:
            assert reason == "ROLE_NOT_ALLOWED", role


@pytest.mark.parametrize("rpc", INTERNAL, ids=lambda rpc: rpc.short_name)
async def test_internal_rpcs_are_for_the_named_services_alone(
    platform: Platform, signer: Signer, rpc: Rpc
) -> None:
    for service in served_by(platform, rpc):
        for name in (*SERVICES, "nobody", str(new_id())):
            reason = await call(platform, service, rpc, f"Bearer {signer.internal(name)}")
            if rpc.permission.anyone or name in rpc.permission.services:
                assert reason not in OF_TOKENS, name
            else:
                assert reason == "ROLE_NOT_ALLOWED", name


@pytest.mark.parametrize("rpc", INTERNAL, ids=lambda rpc: rpc.short_name)
async def test_internal_rpcs_refuse_everybody_else(platform: Platform, signer: Signer, rpc: Rpc) -> None:
    if rpc.permission.anyone:
        assert rpc.name == "IssueServiceToken", "the only way to a token can not need one"
        return
    past = int(time.time()) - 60
    [*named] = rpc.permission.services
    for service in served_by(platform, rpc):
        for role in (*ROLES, "service"):
            public = signer.token(role, named[0])
            assert await call(platform, service, rpc, f"Bearer {public}") == "TOKEN_NOT_VALID", role
        for role in ROLES:  # an audience alone makes nobody a service
            reason = await call(platform, service, rpc, f"Bearer {signer.token(role, aud=INTERNAL_AUDIENCE)}")
            assert reason == "ROLE_NOT_ALLOWED", role
        assert await call(platform, service, rpc, "") == "TOKEN_MISSING"
        stale = signer.token("service", named[0], aud=INTERNAL_AUDIENCE, iat=past, exp=past + 1)
        assert await call(platform, service, rpc, f"Bearer {stale}") == "TOKEN_EXPIRED"
