"""Encrypting what the database keeps, under keys that are derived from one that operators keep."""

from __future__ import annotations

import base64
import binascii

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32


def parse_key(text: str, *, setting: str) -> bytes:
    """Returns the key that a setting has as base64. Raises SystemExit, naming the setting, for others."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SystemExit(f"{setting} must be the base64 of {_KEY_BYTES} random bytes")
    return key


def derive(key: bytes, use: bytes) -> bytes:
    """Returns a key for one use, from which neither the other keys nor the first can be found."""
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"scrip:" + use).derive(key)


class Sealer:
    """Encrypts and authenticates secrets for one use."""

    def __init__(self, key: bytes, use: bytes) -> None:
        self._box = Fernet(base64.urlsafe_b64encode(derive(key, use)))

    def encrypt(self, plain: bytes) -> bytes:
        """Returns a secret encrypted and authenticated, to be kept in the database."""
        return self._box.encrypt(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        """Returns what was encrypted. Raises InvalidToken if it was changed, or under another key."""
        return self._box.decrypt(sealed)
