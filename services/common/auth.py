"""Who calls, and whether the RPC's declared permission lets it.

Every service verifies tokens itself, with the public keys that identity publishes. Public RPCs take
tokens of the audience `scrip`, internal ones those of `scrip-internal`, which services alone can get.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt
from google.protobuf import descriptor_pool
from scrip.common.v1 import permission_pb2

from services.common.caller import NOBODY, SERVICE, Caller
from services.common.errors import DomainError, not_served, unavailable

log = logging.getLogger(__name__)

ISSUER = "scrip"
PUBLIC_AUDIENCE = "scrip"
INTERNAL_AUDIENCE = "scrip-internal"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # a media type
"""The `typ` header of every access token (RFC 9068)."""

_SKEW_SECONDS = 5
"""How far the clock that issued a token may be ahead of the one that judges it."""
_REFETCH_SECONDS = 5.0
_REFRESH_SECONDS = 60.0
_CACHE_SIZE = 20_000


class KeyRing:
    """The public keys that verify tokens, by key id.

    The last good set is kept when identity is away. An unknown key id causes a fetch, at most one
    every 5 s, so that a key published a moment ago is found and a forged id costs nothing.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._last_try = -_REFETCH_SECONDS
        self._away = False
        self._lock = asyncio.Lock()

    async def known(self) -> bool:
        """Returns whether any key is known."""
        return bool(self._keys)

    def __contains__(self, key_id: str) -> bool:
        """Returns whether the key of this id is known."""
        return key_id in self._keys

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Returns the key of this id, asking identity for it when it is new."""
        if key_id not in self._keys:
            await self.refresh()
        if not self._keys:
            raise unavailable("identity")
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetches the keys, unless that was tried within the last 5 s. Keeps the old ones on failure."""
        async with self._lock:
            if time.monotonic() - self._last_try < _REFETCH_SECONDS:
                return
            self._last_try = time.monotonic()
            try:
                fetched = await self._fetch()
            except DomainError as error:
                if not self._away:
                    log.warning("signing keys can not be fetched: %s", error)
                self._away = True
                if not self._keys:
                    self._last_try = -_REFETCH_SECONDS
                return
            self._away = False
            self._keys = {key["kid"]: jwt.PyJWK(key) for key in fetched["keys"] if key["alg"] == "RS256"}

    async def keep_fresh(self) -> None:
        """Fetches the keys again and again, so that a withdrawn one is forgotten. Runs until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS if self._keys else 0.2)


class TokenVerifier:
    """Verifies access tokens, and remembers those that it has verified while they and their keys are good."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._verified: dict[tuple[str, str], tuple[Caller, float, str]] = {}

    async def verify(self, token: str, audience: str) -> Caller:
        """Returns the caller that the token names.

        Raises TOKEN_EXPIRED, TOKEN_NOT_VALID, or DEPENDENCY_UNAVAILABLE when no key is known yet.
        """
        cached = self._verified.get((token, audience))
        if cached and cached[1] > time.time() and cached[2] in self._keys:
            return cached[0]
        try:
            header = jwt.get_unverified_header(token)
            key_id = str(header.get("kid"))
            key = await self._keys.find(key_id)
            if key is None or header.get("typ") != TOKEN_TYPE:
                raise jwt.InvalidTokenError
            claims = _decode(token, key, audience)
            verified = _caller_of(claims)
        except jwt.ExpiredSignatureError as error:
            raise DomainError("TOKEN_EXPIRED", "the token has expired; log in again") from error
        except (jwt.PyJWTError, KeyError) as error:
            raise DomainError("TOKEN_NOT_VALID", "the token is not valid") from error
        if len(self._verified) >= _CACHE_SIZE:
            self._verified.clear()
        self._verified[token, audience] = (verified, float(claims["exp"]), key_id)
        return verified


def _decode(token: str, key: jwt.PyJWK, audience: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=audience,
        issuer=ISSUER,
        leeway=_SKEW_SECONDS,
        options={"require": ["exp", "iat", "sub", "aud", "iss"]},
    )
    if float(claims["exp"]) <= time.time():  # the leeway is for tokens that seem to come too early
        raise jwt.ExpiredSignatureError
    return claims


def _caller_of(claims: Mapping[str, Any]) -> Caller:
    """Raises InvalidTokenError or KeyError for a token that names no subject, or no login to look up.

    All but services have an id and a login: people by logging in, tills by their secret.
    """
    subject, role = str(claims["sub"]), str(claims["role"])
    if role == SERVICE:
        return Caller(subject, role)
    session_id = str(claims["sid"])
    if not (_is_id(subject) and _is_id(session_id)):
        raise jwt.InvalidTokenError
    brand_id = claims.get("brand")
    return Caller(subject, role, session_id, UUID(brand_id) if brand_id else None)


def _is_id(text: str) -> bool:
    """Returns whether it is a UUID as identity writes it; other spellings would be other callers."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


class Gate(Protocol):
    """Checks whether a login is still active, or a till's tokens are."""

    async def require(self, who: Caller) -> None:
        """Raises when the caller's login is not active."""


@dataclass(frozen=True, slots=True)
class _Rule:
    anyone: bool
    roles: frozenset[str]
    services: frozenset[str]

    def allows(self, who: Caller) -> bool:
        if self.services:
            return who.role == SERVICE and who.subject in self.services
        return who.role in self.roles


class Authenticator:
    """Decides by the permission that each RPC declares in its proto."""

    def __init__(self, verifier: TokenVerifier, gate: Gate, service_names: Iterable[str]) -> None:
        self._verifier = verifier
        self._gate = gate
        self._rules = {path: rule for name in service_names for path, rule in _rules(name)}

    async def authenticate(self, method_name: str, metadata: Mapping[str, str | bytes]) -> Caller:
        """Returns the caller, if it may call this method.

        Raises NOT_SERVED, TOKEN_MISSING, TOKEN_NOT_VALID, TOKEN_EXPIRED or ROLE_NOT_ALLOWED, and what
        the gate raises.
        """
        rule = self._rules.get(method_name)
        if rule is None:
            raise not_served(method_name)
        if rule.anyone:
            return NOBODY
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise DomainError("TOKEN_MISSING", "this call needs a token: `authorization: Bearer …`")
        audience = INTERNAL_AUDIENCE if rule.services else PUBLIC_AUDIENCE
        who = await self._verifier.verify(token, audience)
        if not rule.allows(who):
            raise DomainError("ROLE_NOT_ALLOWED", f"this is not for the role {who.role}", role=who.role)
        if who.role != SERVICE:
            await self._gate.require(who)
        return who


def _rules(service_name: str) -> Iterable[tuple[str, _Rule]]:
    """Yields the rule of each RPC of a service. Raises RuntimeError unless it declares exactly one."""
    service = descriptor_pool.Default().FindServiceByName(service_name)
    for method in service.methods:
        declared = method.GetOptions().Extensions[permission_pb2.permission]
        roles = frozenset(permission_pb2.Role.Name(r).removeprefix("ROLE_").lower() for r in declared.roles)
        rule = _Rule(declared.anyone, roles, frozenset(declared.services))
        if sum((rule.anyone, bool(rule.roles), bool(rule.services))) != 1:
            raise RuntimeError(f"{service_name}.{method.name} must declare exactly one kind of permission")
        yield f"/{service_name}/{method.name}", rule
