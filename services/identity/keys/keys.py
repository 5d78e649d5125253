"""The keys that sign tokens.

A key is made and published, signs from `signs_from` until the next one does, and is published until the
last token that it signed has expired. So no valid token is ever refused because of a rotation: whoever
verifies has heard of a key before it signs, and still knows it while its tokens live.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import text

from services.common.errors import unavailable
from services.common.ids import new_id
from services.common.legacy_db import Connection, Database
from services.identity.keys.secrets_at_rest import Vault

_LATE_SECONDS = 60
"""For so long at most a process may go on signing with a key that has a successor."""


@dataclass(frozen=True)
class SigningKey:
    """A key that signs tokens from a moment on, and its id."""

    id: str
    signs_from: datetime
    private_key: rsa.RSAPrivateKey


class SigningKeys:
    """The keys that this process can sign with, read again from time to time."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys: Sequence[SigningKey] = ()

    async def refresh(self) -> None:
        """Reads the keys; makes the first one when there is none."""
        rows = await self._db.read(_read_keys)
        if not rows:
            await self._db.run(_add_first_key, self._vault)
            rows = await self._db.read(_read_keys)
        known = {key.id: key for key in self._keys}
        self._keys = [known.get(row[0]) or self._open(*row) for row in rows]

    def at(self, moment: datetime) -> SigningKey:
        """The key that signs at a moment: the newest whose time has come by then.

        The first one signs from its making, which is in the future where the clock is behind the
        database's.
        """
        if not self._keys:
            raise unavailable("signing_keys")
        return next((key for key in self._keys if key.signs_from <= moment), self._keys[-1])

    def _open(self, key_id: str, signs_from: datetime, sealed: bytes) -> SigningKey:
        private = serialization.load_pem_private_key(self._vault.decrypt(bytes(sealed)), password=None)
        assert isinstance(private, rsa.RSAPrivateKey)
        return SigningKey(key_id, signs_from, private)


async def add_signing_key(connection: Connection, vault: Vault, *, lead_seconds: int) -> str:
    """Makes a key that is published at once and signs after `lead_seconds`; answers its id."""
    key_id, private = str(new_id()), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    await connection.execute(
        text(
            "INSERT INTO signing_keys (id, private_key, public_jwk, signs_from) VALUES (:id, :private_key,"
            " CAST(:public_jwk AS jsonb), now() + make_interval(secs => :lead_seconds))"
        ),
        {
            "id": key_id,
            "private_key": vault.encrypt(_pem(private)),
            "public_jwk": json.dumps(_public_jwk(key_id, private)),
            "lead_seconds": lead_seconds,
        },
    )
    return key_id


async def _add_first_key(connection: Connection, vault: Vault) -> None:
    """Makes the first key, once, however many processes start at once: nobody has heard of a second one."""
    await connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
    found = await connection.execute(text("SELECT EXISTS (SELECT FROM signing_keys)"))
    if not found.scalar_one():
        await add_signing_key(connection, vault, lead_seconds=0)


async def rotate_when_due(
    connection: Connection, vault: Vault, *, lead_seconds: int, rotation_days: float, token_seconds: int
) -> str | None:
    """Makes the next key when the newest is old enough, and forgets those that no living token needs.

    Answers the new key's id. Two processes that do it at once make two keys, and both are published.
    """
    await connection.execute(
        text(
            "DELETE FROM signing_keys k WHERE EXISTS"
            " (SELECT FROM signing_keys n WHERE n.signs_from > k.signs_from"
            " AND n.signs_from < now() - make_interval(secs => :token_seconds))"
        ),
        {"token_seconds": token_seconds + max(lead_seconds, _LATE_SECONDS)},
    )
    due = await connection.execute(
        text(
            "SELECT max(signs_from) <= now() - make_interval(secs => :age) FROM signing_keys",
        ),
        {"age": rotation_days * 86_400},
    )
    if not due.scalar_one():
        return None
    return await add_signing_key(connection, vault, lead_seconds=lead_seconds)


async def read_jwks(connection: Connection) -> dict[str, Any]:
    """The public keys as a JSON Web Key Set (RFC 7517)."""
    rows = await connection.execute(text("SELECT public_jwk FROM signing_keys ORDER BY created_at, id"))
    return {"keys": [row.public_jwk for row in rows]}


async def _read_keys(connection: Connection) -> Sequence[tuple[str, datetime, bytes]]:
    rows = await connection.execute(
        text("SELECT id, signs_from, private_key FROM signing_keys ORDER BY signs_from DESC, id DESC")
    )
    return [(row.id, row.signs_from, row.private_key) for row in rows]


def _public_jwk(key_id: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": jwk["n"], "e": jwk["e"]}


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
