"""What descriptors do not hold: the media types of files, and headers besides those that all calls have."""

from __future__ import annotations

from tools.openapi.contract import Rpc
from tools.openapi.rules import Node

HTTP_BODY = "google.api.HttpBody"
CSV = "text/csv"
_IMAGES = ("image/png", "image/jpeg", "image/webp")
_QR = ("image/png", "image/svg+xml")


# By RPC. A stream of bodies is CSV where it is not here.
_RETURNED = {
    "GetCodeQr": _QR,
    "GetCodeSheet": ("application/pdf",),
    "GetImage": _IMAGES,
    "GetLogo": _IMAGES,
    "GetMyQr": _QR,
    "GetMyVoucherQr": _QR,
}
EVENTS_OF = {
    "WatchCodeSetEvents": "scrip.promos.v1.WatchCodeSetResponse",
    "WatchPlacesEvents": "scrip.promos.v1.WatchPlacesResponse",
    "WatchQuantityEvents": "scrip.vouchers.v1.WatchQuantityResponse",
}
"""Bodies that are server-sent events, and the message that the data of each has."""
_TAKEN = {
    "CreateAdjustmentImport": (CSV,),
    "CreateCodeImport": (CSV,),
    "UploadBrandLogo": _IMAGES,
    "UploadStoreLogo": _IMAGES,
    "UploadVoucherImage": _IMAGES,
}
_TEXT = {"type": "string"}

_TOKEN_FORM: Node = {
    "type": "object",
    "properties": {
        "grant_type": {"type": "string", "const": "client_credentials", "description": "Always this."},
        "client_id": {
            "type": "string",
            "description": "The till's id. Not with HTTP Basic.",
            "examples": ["01993f6e-8c1a-7b2d-9e4f-3a5b6c7d8e9f"],
        },
        "client_secret": {"type": "string", "description": "The till's secret. Not with HTTP Basic."},
    },
    "required": ["grant_type"],
}
_TOKEN: Node = {
    "type": "object",
    "properties": {
        "access_token": {
            "type": "string",
            "description": "A signed JWT; send it as `authorization: Bearer …`.",
        },
        "token_type": {"type": "string", "const": "Bearer", "description": "Always this."},
        "expires_in": {"type": "integer", "description": "Seconds until it expires.", "examples": [3600]},
    },
    "required": ["access_token", "token_type", "expires_in"],
}
_KEYS: Node = {
    "type": "object",
    "properties": {
        "keys": {
            "type": "array",
            "description": "The keys, as RFC 7517 has them.",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("kty", "use", "alg", "kid", "n", "e"), _TEXT),
                "required": ["kty", "kid"],
            },
        }
    },
    "required": ["keys"],
}
_NOTIFICATION: Node = {
    "type": "object",
    "description": "What the gateway tells, signed by the headers; docs/payments.md has its fields.",
    "additionalProperties": True,
}
_JSON_RETURNED = {"GetJwks": _KEYS, "IssueClientToken": _TOKEN}
_OTHER_TAKEN = {
    "IssueClientToken": {"application/x-www-form-urlencoded": {"schema": _TOKEN_FORM}},
    "NotifyPayment": {"application/json": {"schema": _NOTIFICATION}},
}
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


def returned(rpc: Rpc) -> Node:
    """Returns the content of a response that is a file. Raises KeyError when nobody said what it is."""
    name = rpc.method.name
    if name in _JSON_RETURNED:
        return {"application/json": {"schema": _JSON_RETURNED[name]}}
    return _files(_RETURNED[name] if name in _RETURNED or not rpc.method.server_streaming else (CSV,))


def taken(rpc: Rpc) -> Node:
    """Returns the content of a request whose body is a file. Raises KeyError when nobody said what it is."""
    name = rpc.method.name
    return _OTHER_TAKEN[name] if name in _OTHER_TAKEN else _files(_TAKEN[name])


def headers_returned(rpc: Rpc) -> Node:
    """Returns the headers of a response that is a file to be saved, or kept for ever."""
    headers: Node = {}
    name = rpc.method.name
    if name == "GetCodeSheet" or (rpc.method.server_streaming and not name.startswith("Watch")):
        headers["Content-Disposition"] = {
            "description": 'The file\'s name, `attachment; filename="…"`.',
            "schema": _TEXT,
        }
    if rpc.method.name == "GetCodeSheet":
        headers["X-Last-Code-Id"] = {
            "description": "The last code on the sheet, while there are more.",
            "schema": _TEXT,
        }
    if _RETURNED.get(rpc.method.name) is _IMAGES:
        headers["ETag"] = {"description": "Of the image, which never changes.", "schema": _TEXT}
    return headers


def headers_taken(rpc: Rpc) -> list[Node]:
    """Returns the headers that a signed request has."""
    if rpc.method.name != "NotifyPayment":
        return []
    return [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": "As Standard Webhooks has it; see docs/payments.md.",
            "schema": _TEXT,
        }
        for name in _SIGNED
    ]


def _files(media_types: tuple[str, ...]) -> Node:
    return {media_type: {"schema": _file(media_type)} for media_type in media_types}


def _file(media_type: str) -> Node:
    if media_type in {CSV, "image/svg+xml"}:
        return {"type": "string", "contentMediaType": media_type}
    return {"type": "string", "format": "binary", "contentMediaType": media_type}
