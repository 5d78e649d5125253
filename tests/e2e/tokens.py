"""Tokens that nobody would be given: made with identity's own key, or with a stranger's."""

from __future__ import annotations

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from services.common.auth import ISSUER, MEMBER, PUBLIC_AUDIENCE, TOKEN_TYPE
from services.common.db import Database
from services.identity.keys import SigningKey, ensure_signing_key
from services.identity.secrets_at_rest import Vault
from services.identity.tokens import TokenIssuer
from stack.testing import RunningStack


async def signing_key(stack: RunningStack) -> SigningKey:
    """Identity's key, opened with the stack's master key."""
    secrets = json.loads(stack.folder.secrets.read_text())
    database = Database(stack.endpoints.databases["identity"], pool_size=1)
    try:
        return await database.run(ensure_signing_key, Vault(secrets["master_key"]))
    finally:
        await database.close()


def faulty_tokens(key: SigningKey, subject: str) -> dict[str, tuple[str, str]]:
    """By what is wrong with it: a token for a member, and the reason with which it must be refused."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": PUBLIC_AUDIENCE,
        "sub": subject,
        "role": MEMBER,
        "iat": now,
        "exp": now + 600,
    }
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    header = {"kid": key.id, "typ": TOKEN_TYPE}

    def signed(changed: dict[str, object], headers: dict[str, str] | None = None) -> str:
        return jwt.encode(good | changed, key.private_key, "RS256", header | (headers or {}))

    issuer = TokenIssuer(key)
    not_valid = {
        "garbage": "garbage",
        "three-parts": "a.b.c",
        "cut-off": signed({})[:-10],
        "strangers-key": jwt.encode(good, stranger, "RS256", header),
        "unknown-key-id": signed({}, {"kid": "01990000-0000-7000-8000-000000000000"}),
        "unsigned": jwt.encode(good, "", "none", header),
        "shared-secret": jwt.encode(good, "x" * 32, "HS256", header),
        "other-issuer": signed({"iss": "elsewhere"}),
        "other-audience": signed({"aud": "elsewhere"}),
        "of-a-service": issuer.issue_for_service("vouchers").value,
        "other-kind": signed({}, {"typ": "JWT"}),
    }
    faulty = {name: (token, "TOKEN_NOT_VALID") for name, token in not_valid.items()}
    return faulty | {
        "missing": ("", "TOKEN_MISSING"),
        "expired": (issuer.issue(subject, MEMBER, -1).value, "TOKEN_EXPIRED"),
    }
