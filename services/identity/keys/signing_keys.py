"""The keys that sign tokens.

A key is made and published, signs from `signs_from` until the next one does, and is published until the
last token that it signed has expired. So no valid token is ever refused because of a rotation: a verifier
knows a key before it signs, and as long as its tokens are valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from psycopg.types.json import Jsonb

from services.common.db import Connection, Database, execute, fetch_all, fetch_value, fetch_values
from services.common.errors import unavailable
from services.common.ids import new_id
from services.identity.keys.vault import Vault

_LATE_SECONDS = 60
"""For so long at most a process may go on signing with a key that has a successor."""


@dataclass(frozen=True, slots=True)
class _KeyRow:
    id: str
    signs_from: datetime
    private_key: bytes


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
        self._keys = [known.get(row.id) or self._open(row) for row in rows]

    def at(self, moment: datetime) -> SigningKey:
        """Returns the key that signs at a moment: the newest whose time has come by then.

        The first one signs from its making, which is in the future where the clock is behind the
        database's. Raises DEPENDENCY_UNAVAILABLE before any key was read.
        """
        if not self._keys:
            raise unavailable("signing_keys")
        return next((key for key in self._keys if key.signs_from <= moment), self._keys[-1])

    def _open(self, row: _KeyRow) -> SigningKey:
        private = serialization.load_pem_private_key(self._vault.decrypt(row.private_key), password=None)
        assert isinstance(private, rsa.RSAPrivateKey)
        return SigningKey(row.id, row.signs_from, private)


async def add_signing_key(connection: Connection, vault: Vault, *, lead_seconds: int) -> str:
    """Makes a key that is published at once and signs after `lead_seconds`; returns its id."""
    key_id, private = str(new_id()), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    await execute(
        connection,
        """
        INSERT INTO signing_keys (id, private_key, public_jwk, signs_from)
        VALUES (
          %(id)s, %(private_key)s, %(public_jwk)s, now() + make_interval(secs => %(lead_seconds)s)
        )
        """,
        id=key_id,
        private_key=vault.encrypt(_pem(private)),
        public_jwk=Jsonb(_public_jwk(key_id, private)),
        lead_seconds=lead_seconds,
    )
    return key_id


async def _add_first_key(connection: Connection, vault: Vault) -> None:
    """Makes the first key, once, however many processes start at once: verifiers would know one alone."""
    await execute(connection, "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
    if not await fetch_value(connection, "SELECT EXISTS (SELECT FROM signing_keys)"):
        await add_signing_key(connection, vault, lead_seconds=0)


async def rotate_when_due(
    connection: Connection, vault: Vault, *, lead_seconds: int, rotation_days: float, token_seconds: int
) -> str | None:
    """Makes the next key when the newest is old enough, and removes those that no valid token needs.

    Returns the new key's id, or None. Two processes that do it at once make two keys; both are published.
    """
    await execute(
        connection,
        """
        DELETE FROM signing_keys k WHERE EXISTS (
          SELECT FROM signing_keys n
          WHERE n.signs_from > k.signs_from
            AND n.signs_from < now() - make_interval(secs => %(token_seconds)s)
        )
        """,
        token_seconds=token_seconds + max(lead_seconds, _LATE_SECONDS),
    )
    due = await fetch_value(
        connection,
        "SELECT max(signs_from) <= now() - make_interval(secs => %(age)s) FROM signing_keys",
        age=rotation_days * 86_400,
    )
    if not due:
        return None
    return await add_signing_key(connection, vault, lead_seconds=lead_seconds)


async def read_jwks(connection: Connection) -> dict[str, Any]:
    """Returns the public keys as a JSON Web Key Set (RFC 7517)."""
    return {
        "keys": await fetch_values(connection, "SELECT public_jwk FROM signing_keys ORDER BY created_at, id")
    }


async def _read_keys(connection: Connection) -> list[_KeyRow]:
    return await fetch_all(
        connection,
        _KeyRow,
        "SELECT id, signs_from, private_key FROM signing_keys ORDER BY signs_from DESC, id DESC",
    )


def _public_jwk(key_id: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": jwk["n"], "e": jwk["e"]}


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
