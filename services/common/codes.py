"""Codes that people read and type: one alphabet, one way to read them.

Crockford's base32 alphabet has no look-alikes. Codes are stored in capitals without separators.
"""

from __future__ import annotations

import base64
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_RFC_4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = bytes.maketrans(_RFC_4648, ALPHABET.encode())
_FROM_CROCKFORD = bytes.maketrans(ALPHABET.encode(), _RFC_4648)
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_AS_WRITTEN = str.maketrans({"O": "0", "I": "1", "L": "1", **dict.fromkeys(_DASHES)})


def read_code(written: str) -> str:
    """Returns a code as it is stored, from what was scanned or typed.

    Letter case, spaces and dashes do not matter, and letters that look like digits are read as those.
    """
    return "".join(written.split()).upper().translate(_AS_WRITTEN)


def encode(content: bytes) -> str:
    """Returns bytes as characters of the alphabet, five bits each."""
    return base64.b32encode(content).rstrip(b"=").translate(_TO_CROCKFORD).decode()


def decode(code: str) -> bytes:
    """Returns the bytes of an encoded text. Raises ValueError when it is none."""
    if not set(code) <= set(ALPHABET):
        raise ValueError(code)
    characters = code.encode().translate(_FROM_CROCKFORD)
    return base64.b32decode(characters + b"=" * (-len(characters) % 8))


def random_code(length: int) -> str:
    """Returns a code of random characters from the system's cryptographic source, five bits each."""
    return encode(secrets.token_bytes((length * 5 + 7) // 8))[:length]
