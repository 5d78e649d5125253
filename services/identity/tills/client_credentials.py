"""The token request of OAuth 2.0 client credentials (RFC 6749), and how it is refused (5.2)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.message import Message
from urllib.parse import parse_qs, unquote_plus

from services.common.errors import DomainError, invalid_field
from services.identity.accounts import credentials_not_valid

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_NAME = re.compile("[a-z_]{1,32}")

INVALID_REQUEST, INVALID_CLIENT = "invalid_request", "invalid_client"
UNSUPPORTED_GRANT_TYPE, INVALID_SCOPE = "unsupported_grant_type", "invalid_scope"
TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


class OAuthError(Exception):
    """A refusal, with the word that RFC 6749 has for it."""

    def __init__(self, word: str, refusal: DomainError) -> None:
        super().__init__(word)
        self.word = word
        self.refusal = refusal


def parse(content_type: str, body: bytes, authorization: str | None) -> tuple[str, str]:
    """Returns client id and secret, from the form or from HTTP Basic (2.3.1). Raises OAuthError."""
    form = _form(content_type, body)
    grant_type = form.get("grant_type", "")
    if not grant_type:
        raise _invalid("grant_type", "is missing")
    basic = _basic(authorization)
    if basic and "client_secret" in form:
        raise _invalid("client_secret", "must not come twice, in the header and in the form")
    if basic and form.get("client_id", basic[0]) != basic[0]:
        raise _invalid("client_id", "must not be another one than in the header")
    if basic is None and not ("client_id" in form and "client_secret" in form):
        raise OAuthError(INVALID_CLIENT, credentials_not_valid())
    if grant_type != "client_credentials":
        raise OAuthError(UNSUPPORTED_GRANT_TYPE, invalid_field("grant_type", "must be client_credentials"))
    if "scope" in form:
        raise OAuthError(INVALID_SCOPE, invalid_field("scope", "there are no scopes"))
    return basic or (form["client_id"], form["client_secret"])


def word_of(refusal: DomainError) -> str:
    """Returns the word for a refusal that judging the credentials ends with."""
    return INVALID_CLIENT if refusal.reason == "CREDENTIALS_NOT_VALID" else TEMPORARILY_UNAVAILABLE


def _form(content_type: str, body: bytes) -> Mapping[str, str]:
    """Returns the fields that have a value; one without is as good as missing (3.2)."""
    said = Message()
    said["content-type"] = content_type or _FORM  # gRPC callers may not say it
    if said.get_content_type() != _FORM or said.get_content_charset("utf-8") not in {"utf-8", "us-ascii"}:
        raise _invalid("content-type", f"must be {_FORM}, in UTF-8")
    try:
        fields = parse_qs(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:  # of which UnicodeDecodeError is one
        raise _invalid("body", f"must be {_FORM}") from error
    for name, values in fields.items():
        if len(values) > 1:
            raise _invalid(name if _NAME.fullmatch(name) else "body", "must not be repeated")
    return {name: values[0] for name, values in fields.items() if values[0]}


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Returns the credentials in a Basic header, or None when there is no such header."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None  # a till may have sent the token that it still holds
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError(INVALID_CLIENT, credentials_not_valid()) from error
    return unquote_plus(client_id), unquote_plus(secret)


def _invalid(field: str, description: str) -> OAuthError:
    return OAuthError(INVALID_REQUEST, invalid_field(field, description))
