"""What identity keeps hashed or encrypted, and with which key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from services.common.sealing import Sealer, derive, parse_key


class Vault:
    """Keys for each use, derived from the master key."""

    def __init__(self, master_key: str) -> None:
        master = parse_key(master_key, setting="SCRIP_MASTER_KEY")
        self._otp_key = derive(master, b"otp")
        self._refresh_key = derive(master, b"refresh-tokens")
        self._phone_key = derive(master, b"phones")
        self._code_key = derive(master, b"member-codes")
        self._throttle_key = derive(master, b"throttle")
        self._place_key = derive(master, b"places")
        self._box = Sealer(master, b"signing-keys")

    def hash_otp(self, otp_id: object, code: str) -> bytes:
        """Returns the keyed hash under which the code of this one-time password is kept."""
        return hmac.digest(self._otp_key, f"{otp_id}:{code}".encode(), hashlib.sha256)

    def next_refresh_token(self, refresh_token: str) -> str:
        """Returns the refresh token that follows this one; nobody can derive it without the key."""
        digest = hmac.digest(self._refresh_key, refresh_token.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def hash_phone(self, phone: str) -> bytes:
        """Returns a keyed hash by which a phone number is recognised after it was erased."""
        return hmac.digest(self._phone_key, phone.encode(), hashlib.sha256)

    @property
    def throttle_key(self) -> bytes:
        """The key under which numbers and addresses are counted, for `Throttle`."""
        return self._throttle_key

    def hash_place(self, account_id: object, place: str) -> bytes:
        """Returns a keyed hash by which a device or address is recognised, of this account alone."""
        return hmac.digest(self._place_key, f"{account_id}:{place}".encode(), hashlib.sha256)

    def sign_code(self, content: bytes) -> bytes:
        """Returns the signature of a signed member code: 16 bytes."""
        return hmac.digest(self._code_key, content, hashlib.sha256)[:16]

    def encrypt(self, plain: bytes) -> bytes:
        """Returns a secret encrypted and authenticated, to be kept in the database.

        These are the private keys that sign tokens, and codes of one-time passwords until they are sent; one
        key encrypts both.
        """
        return self._box.encrypt(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        """Returns what was encrypted. Raises InvalidToken if it was changed, or under another key."""
        return self._box.decrypt(sealed)


def new_secret() -> str:
    """Returns a random secret of 256 bits, as text."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """Returns the hash of a random secret of 128 bits or more, which needs no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
