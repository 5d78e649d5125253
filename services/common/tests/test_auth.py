"""Who calls: tokens, the keys that verify them, and what each RPC permits."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Mapping
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from services.common import auth
from services.common.auth import INTERNAL_AUDIENCE, PUBLIC_AUDIENCE, Authenticator, KeyRing, TokenVerifier
from services.common.caller import Caller
from services.common.errors import DomainError, unavailable

PRIVATE = {
    name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("one", "two", "three")
}
GOOD = {"typ": "at+jwt"}


def id_of(number: int) -> str:
    """Returns an id, such as subjects and logins have."""
    return str(UUID(int=number))


SOMEBODY, LOGIN = id_of(1), id_of(2)


def jwk(name: str) -> dict[str, Any]:
    """Returns a public key as identity publishes it."""
    public = RSAAlgorithm.to_jwk(PRIVATE[name].public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "n": public["n"], "e": public["e"]}


class Identity:
    """Publishes keys, counts how often it is asked, and may be away."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked = 0
        self.away = False

    async def fetch(self) -> Mapping[str, Any]:
        """Returns the public keys."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise unavailable("identity")
        return {"keys": [jwk(name) for name in self.names]}


def token(key: str = "one", headers: Mapping[str, Any] = GOOD, leave_out: str = "", **claims: Any) -> str:
    """Returns a token that is good but for what is given."""
    now = int(time.time())
    standard: dict[str, Any] = {"iss": "scrip", "aud": "scrip", "sub": SOMEBODY, "role": "till", "iat": now}
    content = standard | {"sid": LOGIN, "exp": now + 60} | claims
    content.pop(leave_out, None)
    kid = {} if "kid" in headers else {"kid": key}
    return jwt.encode(content, PRIVATE[key], "RS256", {**kid, **headers})


def crafted(algorithm: str, secret: bytes | None) -> str:
    """Returns a token signed in another way, of which libraries refuse to make one."""
    now = int(time.time())
    header = {"alg": algorithm, "kid": "one", "typ": "at+jwt"}
    claims = {"iss": "scrip", "aud": "scrip", "sub": "0", "role": "admin", "iat": now, "exp": now + 60}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def public_pem() -> bytes:
    """Returns what everybody knows of the key."""
    return (
        PRIVATE["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.fixture
def identity() -> Identity:
    """Identity, which signs with key one."""
    return Identity("one")


@pytest.fixture
def verifier(identity: Identity) -> TokenVerifier:
    """A verifier that asks identity."""
    return TokenVerifier(KeyRing(identity.fetch))


async def reason(call: Awaitable[object]) -> str:
    """Returns the reason of a refused call."""
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def test_a_good_token_names_its_caller_as_often_as_it_is_shown(verifier: TokenVerifier) -> None:
    shown = token(sub=id_of(7), role="till")
    for _ in range(3):
        assert await verifier.verify(shown, PUBLIC_AUDIENCE) == Caller(id_of(7), "till", LOGIN)


def bad_tokens() -> Mapping[str, str]:
    """Tokens that are not valid, each for one reason."""
    later = int(time.time()) + 600
    lacking = {
        f"without {name}": token(leave_out=name)
        for name in ("iss", "aud", "sub", "iat", "exp", "role", "sid")
    }
    return lacking | {
        "subject of no id": token(sub="ada"),
        "subject of nothing": token(sub=""),
        "subject in another spelling": token(sub=SOMEBODY.replace("-", "")),
        "subject in braces": token(sub=f"{{{SOMEBODY}}}"),
        "empty login": token(sid=""),
        "empty login of a member": token(role="member", sid=""),
        "login of no id": token(role="admin", sid="s"),
        "audience of services": token(aud="scrip-internal"),
        "another audience": token(aud="another"),
        "no audience": token(aud=[]),
        "another issuer": token(iss="another"),
        "typ of any JWT": token(headers={}),
        "typ of another use": token(headers={"typ": "refresh+jwt"}),
        "typ missing": token(headers={"typ": None}),
        "signed by somebody else": token("two", headers={**GOOD, "kid": "one"}),
        "unknown key": token(headers={**GOOD, "kid": "unknown"}),
        "of the future": token(iat=later),
        "not yet": token(nbf=later),
        "expiry of words": token(exp="never"),
        "unsigned": crafted("none", None),
        "unsigned, spelt otherwise": crafted("None", None),
        "signed with the public key": crafted("HS256", public_pem()),
        "cut off": token()[:-3],
        "two dots": token().replace(".", "..", 1),
        "a word": "x",
        "three words": "x.y.z",
        "nothing": "",
    }


@pytest.mark.covers("I3 AuthService.LogIn")
@pytest.mark.parametrize("fault", bad_tokens())
async def test_bad_tokens_are_not_valid(verifier: TokenVerifier, fault: str) -> None:
    assert await reason(verifier.verify(bad_tokens()[fault], PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"


async def test_a_token_ends_at_its_hour_even_when_it_was_shown_before(verifier: TokenVerifier) -> None:
    shown = token(exp=time.time() + 1)
    await verifier.verify(shown, PUBLIC_AUDIENCE)
    await asyncio.sleep(1.1)
    assert await reason(verifier.verify(shown, PUBLIC_AUDIENCE)) == "TOKEN_EXPIRED"


async def test_what_was_good_for_one_audience_is_not_for_the_other(verifier: TokenVerifier) -> None:
    for audience, other in ((PUBLIC_AUDIENCE, INTERNAL_AUDIENCE), (INTERNAL_AUDIENCE, PUBLIC_AUDIENCE)):
        shown = token(aud=audience)
        await verifier.verify(shown, audience)
        assert await reason(verifier.verify(shown, other)) == "TOKEN_NOT_VALID"


async def test_an_altered_copy_of_a_known_token_is_not_valid(verifier: TokenVerifier) -> None:
    shown = token(role="cashier")
    await verifier.verify(shown, PUBLIC_AUDIENCE)
    header, _, signature = shown.split(".")
    _, claims, _ = token(role="admin").split(".")
    altered = f"{header}.{claims}.{signature}"
    assert await reason(verifier.verify(altered, PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_forged_key_ids_make_identity_be_asked_once(
    verifier: TokenVerifier, identity: Identity
) -> None:
    await verifier.verify(token(), PUBLIC_AUDIENCE)
    assert identity.asked == 1
    forged = [token(headers={**GOOD, "kid": f"forged-{n}"}) for n in range(30)]
    calls = (verifier.verify(each, PUBLIC_AUDIENCE) for each in forged)
    refusals = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(error).partition(":")[0] for error in refusals} == {"TOKEN_NOT_VALID"}
    assert identity.asked == 1, "within 5 s of the last time"


async def test_a_key_that_was_published_since_is_found(
    verifier: TokenVerifier, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verifier.verify(token(), PUBLIC_AUDIENCE)
    identity.names = ("one", "two")
    assert await reason(verifier.verify(token("two"), PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)  # five seconds later
    await verifier.verify(token("two"), PUBLIC_AUDIENCE)
    assert identity.asked == 2


class Clock:
    """The time as the code under test sees it; the event loop keeps its own."""

    def __init__(self) -> None:
        self.turned = 0.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return 1_000.0 + self.turned

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()


async def test_a_refetch_comes_after_five_seconds_and_not_before(
    verifier: TokenVerifier, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(auth, "time", clock)
    await verifier.verify(token(), PUBLIC_AUDIENCE)
    for seconds, asked in ((4.9, 1), (5.1, 2), (9.9, 2), (10.2, 3)):
        clock.turned = seconds
        assert await reason(verifier.verify(token("three"), PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"
        assert identity.asked == asked


async def test_tokens_of_all_published_keys_are_good_during_a_rotation(identity: Identity) -> None:
    identity.names = ("one", "two")
    verifier = TokenVerifier(KeyRing(identity.fetch))
    for key in identity.names:
        await verifier.verify(token(key), PUBLIC_AUDIENCE)
    assert identity.asked == 1


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_a_withdrawn_key_is_forgotten_and_so_are_its_tokens(
    verifier: TokenVerifier, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = token()
    await verifier.verify(shown, PUBLIC_AUDIENCE)
    identity.names = ("two",)
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)
    await verifier.verify(token("two"), PUBLIC_AUDIENCE)
    assert await reason(verifier.verify(token(sub=id_of(8)), PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"
    assert await reason(verifier.verify(shown, PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"


@pytest.mark.covers("I3 AuthService.LogIn")
async def test_known_keys_outlast_identitys_absence(
    verifier: TokenVerifier, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verifier.verify(token(), PUBLIC_AUDIENCE)
    identity.away = True
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)
    assert await reason(verifier.verify(token("two"), PUBLIC_AUDIENCE)) == "TOKEN_NOT_VALID"
    assert await verifier.verify(token(sub=id_of(8)), PUBLIC_AUDIENCE) == Caller(id_of(8), "till", LOGIN)


async def test_without_any_key_nobody_is_called_a_forger(identity: Identity) -> None:
    keys = KeyRing(identity.fetch)
    verifier = TokenVerifier(keys)
    identity.away = True
    assert await reason(verifier.verify(token(), PUBLIC_AUDIENCE)) == "DEPENDENCY_UNAVAILABLE"
    assert await keys.known() is False
    identity.away = False
    await verifier.verify(token(), PUBLIC_AUDIENCE)
    assert await keys.known() is True


async def test_keys_for_other_algorithms_are_not_taken(identity: Identity) -> None:
    async def fetch() -> Mapping[str, Any]:
        return {
            "keys": [{**jwk("one"), "alg": "RS512"}, {"kty": "oct", "alg": "HS256", "kid": "x", "k": "AA"}]
        }

    keys = KeyRing(fetch)
    await keys.refresh()
    assert await keys.known() is False


async def test_the_memory_of_verified_tokens_is_bounded(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_CACHE_SIZE", 3)
    for n in range(10):
        assert await verifier.verify(token(sub=id_of(n)), PUBLIC_AUDIENCE) == Caller(id_of(n), "till", LOGIN)
        assert len(verifier._verified) <= 3


PURCHASE = "/scrip.points.v1.PurchaseService/RecordPurchase"
BALANCE = "/scrip.points.v1.PointsService/GetMyBalance"
DEBIT = "/scrip.points.internal.v1.PointsInternalService/Debit"
JWKS = "/scrip.identity.v1.AuthService/GetJwks"


class Logins:
    """The gate: which logins have ended, and who was asked about."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.asked: list[str] = []

    async def require(self, who: Caller) -> None:
        """Refuses logins that have ended."""
        self.asked.append(who.session_id)
        if who.session_id in self.ended:
            raise DomainError("SESSION_ENDED", "the login has ended")


@pytest.fixture
def logins() -> Logins:
    """All logins are active at first."""
    return Logins()


@pytest.fixture
def authenticator(verifier: TokenVerifier, logins: Logins) -> Authenticator:
    """Decides for four RPCs: for tills, for members, for services, for anyone."""
    from scrip.identity.v1 import auth_pb2  # noqa: F401  # describes its services
    from scrip.points.internal.v1 import points_pb2  # noqa: F401
    from scrip.points.v1 import points_pb2 as member_points_pb2  # noqa: F401
    from scrip.points.v1 import purchase_pb2  # noqa: F401

    services = [path.split("/")[1] for path in (PURCHASE, BALANCE, DEBIT, JWKS)]
    return Authenticator(verifier, logins, services)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_of_any_letter_case(authenticator: Authenticator, scheme: str) -> None:
    caller = await authenticator.authenticate(PURCHASE, {"authorization": f"{scheme} {token()}"})
    assert caller == Caller(SOMEBODY, "till", LOGIN)


async def test_a_login_that_has_ended_is_refused_although_its_token_is_good(
    authenticator: Authenticator, logins: Logins
) -> None:
    metadata = {"authorization": f"Bearer {token(role='member')}"}
    assert await authenticator.authenticate(BALANCE, metadata) == Caller(SOMEBODY, "member", LOGIN)
    logins.ended.add(LOGIN)
    assert await reason(authenticator.authenticate(BALANCE, metadata)) == "SESSION_ENDED"


async def test_a_wrong_role_is_refused_before_the_login_is_looked_up(
    authenticator: Authenticator, logins: Logins
) -> None:
    metadata = {"authorization": f"Bearer {token(role='member')}"}
    assert await reason(authenticator.authenticate(PURCHASE, metadata)) == "ROLE_NOT_ALLOWED"
    assert logins.asked == []


async def test_a_till_whose_tokens_have_ended_is_refused_too(
    authenticator: Authenticator, logins: Logins
) -> None:
    metadata = {"authorization": f"Bearer {token()}"}
    await authenticator.authenticate(PURCHASE, metadata)
    assert logins.asked == [LOGIN]
    logins.ended.add(LOGIN)
    assert await reason(authenticator.authenticate(PURCHASE, metadata)) == "SESSION_ENDED"


@pytest.mark.parametrize("role", ["member", "admin", "till"])
@pytest.mark.parametrize("claims", [{"sid": ""}, {"leave_out": "sid"}, {"sub": "ada"}])
async def test_a_token_that_names_no_login_or_nobody_gets_in_nowhere(
    authenticator: Authenticator, logins: Logins, role: str, claims: dict[str, Any]
) -> None:
    metadata = {"authorization": f"Bearer {token(role=role, **claims)}"}
    path = PURCHASE if role == "till" else BALANCE
    assert await reason(authenticator.authenticate(path, metadata)) == "TOKEN_NOT_VALID"
    assert logins.asked == []


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x", "x"])
async def test_whatever_is_no_bearer_token_is_missing(
    authenticator: Authenticator, value: str | None
) -> None:
    metadata = {} if value is None else {"authorization": value}
    assert await reason(authenticator.authenticate(PURCHASE, metadata)) == "TOKEN_MISSING"


async def test_calls_for_anyone_look_at_no_token(authenticator: Authenticator) -> None:
    for value in ("", "Bearer x", f"Bearer {token(exp=1)}"):
        assert (await authenticator.authenticate(JWKS, {"authorization": value})).role == ""


async def test_a_service_is_known_by_audience_role_and_name(authenticator: Authenticator) -> None:
    async def outcome(**claims: Any) -> str:
        metadata = {"authorization": f"Bearer {token(**claims)}"}
        try:
            await authenticator.authenticate(DEBIT, metadata)
        except DomainError as error:
            return error.reason
        return ""

    inside = {"aud": INTERNAL_AUDIENCE, "role": "service", "sub": "vouchers"}
    assert await outcome(**inside) == ""
    assert await outcome(**inside | {"aud": PUBLIC_AUDIENCE}) == "TOKEN_NOT_VALID"
    assert await outcome(**inside | {"role": "admin", "sub": SOMEBODY}) == "ROLE_NOT_ALLOWED"
    assert await outcome(**inside | {"sub": "promos"}) == "ROLE_NOT_ALLOWED"


async def test_a_wrong_role_is_named(authenticator: Authenticator) -> None:
    shown = token(role="member")
    with pytest.raises(DomainError) as caught:
        await authenticator.authenticate(PURCHASE, {"authorization": f"Bearer {shown}"})
    assert (caught.value.reason, caught.value.metadata) == ("ROLE_NOT_ALLOWED", {"role": "member"})
