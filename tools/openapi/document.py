"""The document as a whole."""

from __future__ import annotations

from pathlib import Path

from tools.openapi.contract import Contract
from tools.openapi.operations import SECURITY, operation
from tools.openapi.refusals import KEY, Refusals
from tools.openapi.rules import Node
from tools.openapi.schemas import Schemas

ABOUT = Path(__file__).with_name("about.md")

_GROUPS = {
    "identity": "Identity",
    "points": "Points",
    "vouchers": "Vouchers",
    "promos": "Promos",
}
_KEY = {
    "name": KEY,
    "in": "header",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    "example": "order-7f3c9a",
}
_PARAMETERS: Node = {
    "IdempotencyKey": _KEY
    | {
        "required": True,
        "description": "1 to 128 visible characters, new for every intended effect. The same call sent "
        "again with its key counts once and gets the same response.",
    },
    "OptionalIdempotencyKey": _KEY
    | {
        "description": "With it, the same call may be sent again: it counts once and gets the same response.",
    },
}
_HEADERS: Node = {
    "X-Request-Id": {
        "description": "Names this call in Scrip's logs.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Retry-After": {
        "description": "After how many seconds to send it again, when that is known.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "How to log in (RFC 9110).", "schema": {"type": "string"}},
}
_TEXT: Node = {"type": "string"}


def build() -> Node:
    """Returns the document. Raises KeyError or ValueError for what no module here knows."""
    contract = Contract()
    schemas, refusals = Schemas(contract), Refusals()
    paths: dict[str, Node] = {}
    for rpc in contract.rpcs:
        paths.setdefault(rpc.path, {})[rpc.verb] = operation(rpc, contract, schemas, refusals)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scrip",
            "version": "v1",
            "summary": "Loyalty points, vouchers and promotions.",
            "description": ABOUT.read_text(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document is."}],
        "tags": _tags(contract),
        "x-tagGroups": _tag_groups(contract),
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": SECURITY,
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "responses": dict(sorted(refusals.shared.items())),
            "examples": dict(sorted(refusals.examples.items())),
            "schemas": dict(sorted((schemas.made | _refusal_schemas(refusals.names)).items())),
        },
    }


def _tags(contract: Contract) -> list[Node]:
    services = {rpc.service: rpc.method.containing_service for rpc in contract.rpcs}
    return [
        {"name": name, "description": contract.comment(service)} for name, service in sorted(services.items())
    ]


def _tag_groups(contract: Contract) -> list[Node]:
    return [
        {"name": title, "tags": sorted({rpc.service for rpc in contract.rpcs if rpc.package == package})}
        for package, title in _GROUPS.items()
    ]


def _refusal_schemas(reasons: list[str]) -> Node:
    """The schemas of what comes with a refusal: `google.rpc.Status` and its details, and OAuth's own."""
    return {
        "Status": _object(
            "Why a call was refused. Branch on the `reason` of the first detail; the message is for people.",
            {
                "code": {"type": "integer", "description": "gRPC's number of the status.", "examples": [5]},
                "message": {"type": "string", "description": "In words, for people."},
                "details": {
                    "type": "array",
                    "description": "The first is an `ErrorInfo`. Ignore what you do not know.",
                    "items": {
                        "anyOf": [
                            {"$ref": f"#/components/schemas/{name}"}
                            for name in ("ErrorInfo", "BadRequest", "RetryInfo")
                        ]
                    },
                },
            },
        ),
        "ErrorInfo": _object(
            "The reason of a refusal.",
            {
                "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
                "reason": {"$ref": "#/components/schemas/ErrorReason"},
                "domain": {"const": "scrip"},
                "metadata": {
                    "type": "object",
                    "description": "What the message says, for programs.",
                    "additionalProperties": _TEXT,
                },
            },
        ),
        "ErrorReason": {
            "type": "string",
            "description": "A reason. There may be new ones: decide by the status when you do not know it.",
            "enum": reasons,
        },
        "BadRequest": _object(
            "Which fields are wrong.",
            {
                "@type": {"const": "type.googleapis.com/google.rpc.BadRequest"},
                "field_violations": {
                    "type": "array",
                    "description": "One for each field, 20 at most.",
                    "items": _object(
                        "A field that is wrong.",
                        {
                            "field": {"type": "string", "description": "Such as `items[2].sku`."},
                            "description": {"type": "string", "description": "What is wrong with it."},
                        },
                    ),
                },
            },
        ),
        "RetryInfo": _object(
            "When to send the call again.",
            {
                "@type": {"const": "type.googleapis.com/google.rpc.RetryInfo"},
                "retry_delay": {"type": "string", "description": "After how long.", "examples": ["1s"]},
            },
        ),
        "OAuthError": _object(
            "Why no token was issued (RFC 6749, 5.2).",
            {
                "error": {
                    "type": "string",
                    "description": "A word of the RFC.",
                    "examples": ["invalid_client"],
                },
                "error_description": {"type": "string", "description": "In words, for people."},
            },
        ),
    }


def _object(description: str, properties: Node) -> Node:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
    }
