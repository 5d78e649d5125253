"""Access tokens: what they hold, how long they live, and what is no token though it looks like one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.common.auth import (
    INTERNAL_AUDIENCE,
    ISSUER,
    PUBLIC_AUDIENCE,
    TOKEN_TYPE,
    KeyRing,
    TokenVerifier,
)
from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.identity.keys.signing_keys import SigningKey, SigningKeys
from services.identity.tests.devices import device_of
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, PASSWORD, People, outcome
from tests.inprocess import Platform, bearer, reason, refusal

DAY, YEAR_2100 = 86_400, 4_102_444_800
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Claims = dict[str, Any]


@dataclass
class Forge:
    """Everything that an attacker could wish for: the claims of a good token, and even the key."""

    key: SigningKey
    claims: Claims

    def sign(
        self,
        *,
        by_a_stranger: bool = False,
        headers: Claims | None = None,
        without: str = "",
        **claims: Any,
    ) -> str:
        """Returns a token like the good one, but for what is given."""
        content = {name: value for name, value in (self.claims | claims).items() if name != without}
        header = {"kid": self.key.id, "typ": TOKEN_TYPE} | (headers or {})
        return jwt.encode(content, STRANGER if by_a_stranger else self.key.private_key, "RS256", header)

    def hmac_signed(self, secret: bytes) -> str:
        """Returns a token signed with HS256, which the library itself refuses to make with a public key."""
        return self.by_hand({"alg": "HS256"}, lambda text: hmac.digest(secret, text, hashlib.sha256))

    def by_hand(self, header: Claims, sign: Callable[[bytes], bytes]) -> str:
        """Returns a token with any header."""
        head = orjson.dumps({"kid": self.key.id, "typ": TOKEN_TYPE} | header)
        text = b".".join(map(_base64, (head, orjson.dumps(self.claims))))
        return b".".join((text, _base64(sign(text)))).decode()

    @property
    def public_pem(self) -> bytes:
        """The public key as most libraries take it."""
        return self.key.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.fixture(scope="module")
async def token(people: People) -> auth_pb2.AccessToken:
    """The tokens of a member who is logged in."""
    return (await device_of(people, await people.platform.member())).token


@pytest.fixture(scope="module")
async def forge(platform: Platform, token: auth_pb2.AccessToken) -> Forge:
    """Makes tokens as identity does, for the member of `token`."""
    keys = SigningKeys(platform.databases["identity"], platform.vault)
    await keys.refresh()
    key_id = jwt.get_unverified_header(token.access_token)["kid"]
    key = next(key for key in keys._keys if key.id == key_id)
    return Forge(key, jwt.decode(token.access_token, options={"verify_signature": False}))


def at_identity(platform: Platform, token: str) -> Awaitable[object]:
    stub = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    return stub.GetMe(member_pb2.GetMeRequest(), metadata=bearer(token))


def at_points(platform: Platform, token: str) -> Awaitable[object]:
    stub = points_pb2_grpc.PointsServiceStub(platform.channels["points"])
    return stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(token))


async def assert_refused(platform: Platform, token: str, wanted: str = "TOKEN_NOT_VALID") -> None:
    """Asserts that two services refuse it for this reason, at the first and the second try."""
    for _ in range(2):
        for call in (at_identity, at_points):
            name, code, _ = await refusal(call(platform, token))
            assert (name, code) == (wanted, grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_a_token_says_who_it_is_for_how_long_and_by_which_login(
    people: People, token: auth_pb2.AccessToken
) -> None:
    header = jwt.get_unverified_header(token.access_token)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    said = jwt.decode(token.access_token, options={"verify_signature": False})
    assert set(said) == {"iss", "aud", "sub", "role", "sid", "iat", "exp", "jti"}
    assert (said["iss"], said["aud"], said["role"]) == ("scrip", "scrip", "member")
    assert said["exp"] - said["iat"] == DAY
    assert abs(said["iat"] - time.time()) < 60
    query = "SELECT account_id FROM sessions WHERE id = %(id)s AND ended_at IS NULL"
    assert await people.rows("identity", query, id=UUID(said["sid"])) == [(UUID(said["sub"]),)]
    assert (token.token_type, token.expires_in, len(token.refresh_token)) == ("Bearer", DAY, 43)


async def test_what_is_forged_as_it_should_be_is_a_token(platform: Platform, forge: Forge) -> None:
    again = forge.sign(jti=str(new_id()))
    assert [await outcome(call(platform, again)) for call in (at_identity, at_points)] == [DONE, DONE]


@pytest.mark.covers("I3 AuthService.LogIn")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "someone"},
        {"without": "iss"},
        {"aud": "scrip-internal"},
        {"aud": "another"},
        {"aud": ["another", "scrip-internal"]},
        {"without": "aud"},
        {"nbf": YEAR_2100},
        {"iat": YEAR_2100},
        {"without": "iat"},
        {"without": "exp"},
        {"without": "sub"},
        {"without": "role"},
        {"without": "sid"},
        {"sid": ""},
        {"sid": "s"},
        {"sub": "ada"},
        {"exp": "tomorrow"},
        {"headers": {"typ": "JWT"}},
        {"headers": {"typ": "refresh+jwt"}},
        {"headers": {"typ": None}},
        {"headers": {"kid": "unknown"}},
        {"headers": {"kid": ""}},
        {"headers": {"crit": ["exp"]}},
        {"headers": {"jku": "https://attacker.example/jwks.json"}, "by_a_stranger": True},
        {"headers": {"x5u": "https://attacker.example/cert.pem"}, "by_a_stranger": True},
        {"by_a_stranger": True},
        {"by_a_stranger": True, "headers": {"kid": "stranger"}},
    ],
    ids=str,
)
async def test_a_token_that_is_wrong_in_one_thing_is_refused(
    platform: Platform, forge: Forge, changes: dict[str, Any]
) -> None:
    await assert_refused(platform, forge.sign(**changes))


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_an_expired_token_is_refused_as_expired(platform: Platform, forge: Forge) -> None:
    now = int(time.time())
    await assert_refused(platform, forge.sign(iat=now - 100, exp=now - 1), "TOKEN_EXPIRED")


async def test_a_clock_that_is_a_moment_behind_does_not_refuse_a_new_token(
    platform: Platform, forge: Forge
) -> None:
    early = forge.sign(iat=int(time.time()) + 2)
    assert [await outcome(call(platform, early)) for call in (at_identity, at_points)] == [DONE, DONE]


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_other_algorithms_are_refused(platform: Platform, forge: Forge) -> None:
    public = forge.key.private_key.public_key()
    numbers = public.public_numbers()
    modulus = numbers.n.to_bytes(256, "big")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = [
        forge.by_hand({"alg": "none"}, lambda _: b""),
        forge.by_hand({"alg": "None"}, lambda _: b""),
        forge.by_hand({"alg": ""}, lambda _: b""),
        forge.by_hand({"alg": None}, lambda _: b""),
        *(forge.hmac_signed(secret) for secret in (forge.public_pem, der, modulus, _base64(modulus), b"")),
        jwt.encode(forge.claims, forge.key.private_key, "RS512", {"kid": forge.key.id, "typ": TOKEN_TYPE}),
        jwt.encode(forge.claims, forge.key.private_key, "PS256", {"kid": forge.key.id, "typ": TOKEN_TYPE}),
    ]
    for one in forged:
        await assert_refused(platform, one)


async def test_a_key_that_comes_with_the_token_is_not_used(platform: Platform, forge: Forge) -> None:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)
    await assert_refused(platform, forge.sign(by_a_stranger=True, headers={"jwk": jwk}))


async def test_garbage_is_refused(platform: Platform, forge: Forge, token: auth_pb2.AccessToken) -> None:
    head, body, signature = token.access_token.split(".")
    raised = _base64(orjson.dumps(forge.claims | {"role": "admin"})).decode()
    deep = _base64(b"[" * 4_000).decode()
    for one in [
        "x",
        "..",
        "x.y.z",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}.{raised}.{signature}",
        f"{head}.{body}.{signature[:-4]}",
        f"{head}.{body}.{signature}.{signature}",
        f"{deep}.{body}.{signature}",
        f"{_base64(b'[]').decode()}.{body}.{signature}",
        f"{_base64(b'1').decode()}.{body}.{signature}",
        token.refresh_token,
        f"{token.access_token} {token.access_token}",
    ]:
        await assert_refused(platform, one)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_without_a_bearer_token_it_is_missing(platform: Platform, header: str) -> None:
    stub = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    metadata = (("authorization", header),)
    assert await reason(stub.GetMe(member_pb2.GetMeRequest(), metadata=metadata)) == "TOKEN_MISSING"


async def test_a_refresh_token_is_no_access_token(platform: Platform, token: auth_pb2.AccessToken) -> None:
    await assert_refused(platform, token.refresh_token)


@pytest.mark.covers(
    "I3 IdentityInternalService.IssueServiceToken",
    "I4 IdentityInternalService.BatchCheckSessions",
)
async def test_the_audiences_of_services_and_of_the_public_do_not_mix(
    platform: Platform, forge: Forge, token: auth_pb2.AccessToken
) -> None:
    await assert_refused(platform, await platform.service_token("points"))
    internal = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.BatchCheckSessionsRequest(subject_ids=[forge.claims["sub"]])
    for one in (token.access_token, await platform.till(), await platform.admin()):
        assert await reason(internal.BatchCheckSessions(request, metadata=bearer(one))) == "TOKEN_NOT_VALID"
    # Not even with identity's own key does a member become a service.
    for forged in (forge.sign(role="service", sub="points"), forge.sign(aud="scrip-internal")):
        refused = await reason(internal.BatchCheckSessions(request, metadata=bearer(forged)))
        assert refused in {"TOKEN_NOT_VALID", "ROLE_NOT_ALLOWED"}
    good = await platform.service_token("points")
    assert (await internal.BatchCheckSessions(request, metadata=bearer(good))).found[0].status == "active"


async def test_a_member_does_not_get_what_staff_may(platform: Platform, token: auth_pb2.AccessToken) -> None:
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    call = stub.ListVouchers(catalogue_pb2.ListVouchersRequest(), metadata=bearer(token.access_token))
    name, code, metadata = await refusal(call)
    assert (name, code) == ("ROLE_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED)
    assert metadata == {"role": "member"}


@pytest.mark.covers("I3 AuthService.LogIn")
@pytest.mark.parametrize(
    ("settings", "access", "refresh"),
    [
        ({"token_policy": "standard"}, DAY, 90 * DAY),
        ({"token_policy": "bank"}, 1_800, 43_200),
        ({"access_token_seconds": 600, "refresh_token_seconds": 300}, 300, 300),
    ],
    ids=str,
)
async def test_tokens_live_as_long_as_the_policy_says(
    platform: Platform, settings: dict[str, Any], access: int, refresh: int
) -> None:
    settings = settings | {"redis_url": platform.redis_url[:-1] + "1", "admin_password": SecretStr("")}
    async with own_identity(platform, **settings) as own:
        stub = auth_pb2_grpc.AuthServiceStub(own.channel)
        request = auth_pb2.RegisterMemberRequest(full_name="Ada", user_name="ada", password=PASSWORD)
        made = (await stub.RegisterMember(request)).token
        again = auth_pb2.RefreshSessionRequest(refresh_token=made.refresh_token)
        for token in (made, (await stub.RefreshSession(again)).token):
            said = jwt.decode(token.access_token, options={"verify_signature": False})
            assert said["exp"] - said["iat"] in range(access - 5, access + 1)
            assert token.expires_in in range(access - 5, access + 1)
            assert token.refresh_expires_in in range(refresh - 5, refresh + 1)


class TestVerifier:
    """The verifier alone, with keys that come and go."""

    @pytest.fixture
    def published(self) -> list[rsa.RSAPrivateKey]:
        return [STRANGER]

    @pytest.fixture
    def fetches(self) -> list[float]:
        return []

    @pytest.fixture
    def verifier(self, published: list[rsa.RSAPrivateKey], fetches: list[float]) -> TokenVerifier:
        async def fetch() -> Claims:
            fetches.append(time.monotonic())
            return {"keys": [_jwk(str(number), key) for number, key in enumerate(published)]}

        return TokenVerifier(KeyRing(fetch))

    async def test_a_token_is_verified_once_and_then_known(self, verifier: TokenVerifier) -> None:
        token = _signed("0", STRANGER)
        first = await verifier.verify(token, PUBLIC_AUDIENCE)
        for _ in range(10):
            assert await verifier.verify(token, PUBLIC_AUDIENCE) is first

    async def test_it_is_known_for_its_audience_only(self, verifier: TokenVerifier) -> None:
        token = _signed("0", STRANGER)
        await verifier.verify(token, PUBLIC_AUDIENCE)
        with pytest.raises(DomainError, match="TOKEN_NOT_VALID"):
            await verifier.verify(token, INTERNAL_AUDIENCE)

    async def test_what_is_known_still_expires(self, verifier: TokenVerifier) -> None:
        token = _signed("0", STRANGER, seconds=2)
        await verifier.verify(token, PUBLIC_AUDIENCE)
        await asyncio.sleep(2.0)
        with pytest.raises(DomainError, match="TOKEN_EXPIRED"):
            await verifier.verify(token, PUBLIC_AUDIENCE)

    async def test_a_withdrawn_key_takes_its_tokens_along(
        self, verifier: TokenVerifier, published: list[rsa.RSAPrivateKey], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.common.auth._REFETCH_SECONDS", 0.0)
        token = _signed("0", STRANGER)
        await verifier.verify(token, PUBLIC_AUDIENCE)
        other = _signed("1", STRANGER)
        published[:] = [STRANGER, STRANGER]
        await verifier.verify(other, PUBLIC_AUDIENCE)
        published[:] = [STRANGER]
        await verifier._keys.refresh()
        await verifier.verify(token, PUBLIC_AUDIENCE)
        with pytest.raises(DomainError, match="TOKEN_NOT_VALID"):
            await verifier.verify(other, PUBLIC_AUDIENCE)

    async def test_unknown_keys_are_asked_for_once_in_five_seconds(
        self, verifier: TokenVerifier, fetches: list[float]
    ) -> None:
        for number in range(50):
            with pytest.raises(DomainError, match="TOKEN_NOT_VALID"):
                await verifier.verify(_signed(f"unknown-{number}", STRANGER), PUBLIC_AUDIENCE)
        assert len(fetches) == 1
        await verifier.verify(_signed("0", STRANGER), PUBLIC_AUDIENCE)

    async def test_it_forgets_rather_than_grow_without_end(
        self, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.common.auth._CACHE_SIZE", 3)
        for _ in range(8):
            await verifier.verify(_signed("0", STRANGER), PUBLIC_AUDIENCE)
        assert len(verifier._verified) <= 3


def _signed(key_id: str, key: rsa.RSAPrivateKey, *, seconds: int = 60) -> str:
    now = int(utc_now().timestamp())
    content = {
        "iss": ISSUER,
        "aud": PUBLIC_AUDIENCE,
        "sub": str(new_id()),
        "role": "till",
        "sid": str(new_id()),
    }
    return jwt.encode(
        content | {"iat": now, "exp": now + seconds}, key, "RS256", {"kid": key_id, "typ": TOKEN_TYPE}
    )


def _jwk(key_id: str, key: rsa.RSAPrivateKey) -> Claims:
    found: Claims = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found | {"kid": key_id, "alg": "RS256", "use": "sig"}


async def test_the_till_gets_a_token_of_its_series(people: People, platform: Platform) -> None:
    said = jwt.decode(await platform.till(), options={"verify_signature": False})
    assert said["role"] == "till"
    query = "SELECT token_series FROM clients WHERE id = %(id)s"
    assert await people.rows("identity", query, id=UUID(said["sub"])) == [(UUID(said["sid"]),)]
