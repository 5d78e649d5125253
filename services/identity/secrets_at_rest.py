"""What identity keeps hashed or encrypted, and with which key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32


class Vault:
    """Keys for each use, derived from the master key."""

    def __init__(self, master_key: str) -> None:
        try:
            master = base64.b64decode(master_key, validate=True)
        except binascii.Error:
            master = b""
        if len(master) != _KEY_BYTES:
            raise SystemExit("SCRIP_MASTER_KEY must be the base64 of 32 random bytes")
        self._otp_key = _derive(master, b"otp")
        self._box = Fernet(base64.urlsafe_b64encode(_derive(master, b"signing-keys")))

    def hash_otp(self, otp_id: object, code: str) -> bytes:
        """The keyed hash under which the code of this one-time password is kept."""
        return hmac.digest(self._otp_key, f"{otp_id}:{code}".encode(), hashlib.sha256)

    def encrypt(self, plain: bytes) -> bytes:
        """Seals a private key."""
        return self._box.encrypt(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        """Opens a private key."""
        return self._box.decrypt(sealed)


def hash_secret(secret: str) -> bytes:
    """Hash of a random secret of 128 bits or more, which needs no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _derive(master: bytes, use: bytes) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"scrip:" + use).derive(master)
