"""The token request of OAuth 2.0 client credentials."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, unquote

from services.common.errors import DomainError, invalid_field


def parse(body: bytes, authorization: str | None) -> tuple[str, str]:
    """Client id and secret, from the form or from HTTP Basic (RFC 6749, 2.3.1).

    Raises VALIDATION_FAILED, and CREDENTIALS_NOT_VALID for a malformed Basic header.
    """
    try:
        form = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
    except (UnicodeDecodeError, ValueError) as error:
        raise invalid_field("body", "must be application/x-www-form-urlencoded") from error
    if form.get("grant_type") != ["client_credentials"]:
        raise invalid_field("grant_type", "must be client_credentials")
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong") from error
        return unquote(client_id), unquote(secret)
    try:
        return form["client_id"][0], form["client_secret"][0]
    except KeyError as error:
        raise invalid_field(str(error.args[0]), "is missing") from error
