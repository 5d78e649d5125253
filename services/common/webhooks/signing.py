"""Signatures and secrets as Standard Webhooks has them (www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from typing import Literal

TOLERANCE_SECONDS = 300
"""How far the moment of a message may lie from ours."""
_SECRET_BYTES = 32
_PREFIX = "whsec_"
_MOST_SIGNATURES = 10
Rule = Literal["headers", "signature", "timestamp"]


def new_secret() -> bytes:
    """Returns a random secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def as_text(secret: bytes) -> str:
    """Returns a secret as its owner gets it."""
    return _PREFIX + base64.b64encode(secret).decode()


def key_of(secret: str) -> bytes:
    """Returns the key of a secret as its owner has it: base64 after the prefix, else the text itself.

    Raises ValueError for what is no base64.
    """
    if secret.startswith(_PREFIX):
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    return secret.encode()


def signed(message_id: str, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Returns the headers that prove a body: its id, the present second, and a signature by each key."""
    moment = str(int(time.time()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(_signature(message_id, moment, body, key) for key in keys),
    }


def fault(message_id: str, moment: str, signatures: str, body: bytes, keys: Sequence[bytes]) -> Rule | None:
    """Returns which rule a message breaks by its three headers; None: its sender has one of the keys."""
    if not (message_id and moment.isascii() and moment.isdecimal() and len(moment) < 12 and signatures):
        return "headers"
    good = [_signature(message_id, moment, body, key).encode() for key in keys]
    given = signatures.encode().split(b" ")[:_MOST_SIGNATURES]
    if not any(hmac.compare_digest(one, other) for one in good for other in given):
        return "signature"
    if abs(time.time() - int(moment)) > TOLERANCE_SECONDS:
        return "timestamp"
    return None


def _signature(message_id: str, moment: str, body: bytes, key: bytes) -> str:
    content = b".".join([message_id.encode(), moment.encode(), body])
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
