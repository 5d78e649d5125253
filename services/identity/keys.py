"""The keys that sign tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import text

from services.common.db import Connection
from services.common.ids import new_id
from services.identity.secrets_at_rest import Vault


@dataclass(frozen=True)
class SigningKey:
    """A key that signs tokens, and its id."""

    id: str
    private_key: rsa.RSAPrivateKey


async def ensure_signing_key(connection: Connection, vault: Vault) -> SigningKey:
    """The key to sign with, made now when there is none.

    Two processes that start at once on an empty database may each make one; both are published, so
    tokens of either verify.
    """
    row = (
        await connection.execute(
            text("SELECT id, private_key FROM signing_keys ORDER BY created_at, id LIMIT 1")
        )
    ).first()
    if row:
        private = serialization.load_pem_private_key(vault.decrypt(bytes(row.private_key)), password=None)
        assert isinstance(private, rsa.RSAPrivateKey)
        return SigningKey(row.id, private)
    made = SigningKey(str(new_id()), rsa.generate_private_key(public_exponent=65537, key_size=2048))
    await connection.execute(
        text(
            "INSERT INTO signing_keys (id, private_key, public_jwk)"
            " VALUES (:id, :private_key, CAST(:public_jwk AS jsonb))"
        ),
        {
            "id": made.id,
            "private_key": vault.encrypt(_pem(made.private_key)),
            "public_jwk": json.dumps(_public_jwk(made)),
        },
    )
    return made


async def read_jwks(connection: Connection) -> dict[str, Any]:
    """The public keys as a JSON Web Key Set (RFC 7517)."""
    rows = await connection.execute(text("SELECT public_jwk FROM signing_keys ORDER BY created_at, id"))
    return {"keys": [row.public_jwk for row in rows]}


def _public_jwk(key: SigningKey) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(key.private_key.public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id, "n": jwk["n"], "e": jwk["e"]}


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
