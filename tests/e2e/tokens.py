"""Tokens that nobody would be given: made with identity's own key, or with a stranger's."""

from __future__ import annotations

import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.utils import base64url_encode

from services.common.auth import TOKEN_TYPE
from services.common.db import Database
from services.common.ids import new_id, utc_now
from services.identity.keys import SigningKey, SigningKeys, TokenIssuer, Vault
from stack.testing import RunningStack


def stack_vault(stack: RunningStack) -> Vault:
    """Identity's keys at rest, by the stack's master key."""
    return Vault(json.loads(stack.folder.secrets.read_text())["master_key"])


async def signing_keys(stack: RunningStack) -> SigningKeys:
    """Identity's keys, opened with the stack's master key."""
    database = Database(stack.endpoints.databases["identity"], pool_size=1)
    try:
        keys = SigningKeys(database, stack_vault(stack))
        await keys.refresh()
        return keys
    finally:
        await database.close()


def faulty_tokens(keys: SigningKeys, good: str) -> dict[str, tuple[str, str]]:
    """By what is wrong with it: a variant of a good token, and the reason with which it must be refused."""
    key, now = keys.at(utc_now()), int(time.time())
    claims = jwt.decode(good, options={"verify_signature": False})
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    header = {"kid": key.id, "typ": TOKEN_TYPE}

    def signed(headers: dict[str, str] | None = None, **changed: object) -> str:
        return jwt.encode(claims | changed, key.private_key, "RS256", header | (headers or {}))

    not_valid = {
        "garbage": "garbage",
        "three-parts": "a.b.c",
        "cut-off": signed()[:-10],
        "strangers-key": jwt.encode(claims, stranger, "RS256", header),
        "unknown-key-id": signed({"kid": "01990000-0000-7000-8000-000000000000"}),
        "unsigned": jwt.encode(claims, "", "none", header),
        "shared-secret": jwt.encode(claims, "x" * 32, "HS256", header),
        "public-key-as-secret": _with_public_key_as_secret(key, claims, header),
        "other-issuer": signed(iss="elsewhere"),
        "other-audience": signed(aud="elsewhere"),
        "of-a-service": TokenIssuer(keys).issue_for_service("vouchers").value,
        "other-kind": signed({"typ": "JWT"}),
        "not-yet-valid": signed(nbf=now + 300),
        "from-the-future": signed(iat=now + 300),
        "of-an-empty-login": signed(sid=""),
        "of-no-id": signed(sub="ada"),
        "of-no-login": jwt.encode(_without(claims, "sid"), key.private_key, "RS256", header),
    }
    faulty = {name: (token, "TOKEN_NOT_VALID") for name, token in not_valid.items()}
    return faulty | {
        "missing": ("", "TOKEN_MISSING"),
        "expired": (signed(iat=now - 60, exp=now - 1), "TOKEN_EXPIRED"),
        "of-an-ended-login": (signed(sid=str(new_id())), "SESSION_REPLACED"),
    }


def _without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != name}


def _with_public_key_as_secret(key: SigningKey, claims: dict[str, Any], header: dict[str, str]) -> str:
    """Returns a token for verifiers that let it choose its algorithm; PyJWT refuses to make it."""
    public = key.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    words = ({**header, "alg": "HS256"}, claims)
    content = b".".join(base64url_encode(json.dumps(word).encode()) for word in words)
    return (content + b"." + base64url_encode(hmac.digest(public, content, "sha256"))).decode()
