"""Signatures and secrets as Standard Webhooks has them (www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence

_SECRET_BYTES = 32


def new_secret() -> bytes:
    """Returns a random secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def as_text(secret: bytes) -> str:
    """Returns a secret as its owner gets it."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def signed(message_id: str, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Returns the headers that prove a body: its id, the present second, and a signature by each key."""
    moment = str(int(time.time()))
    content = b".".join([message_id.encode(), moment.encode(), body])
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
