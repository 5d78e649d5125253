"""The responses with which a call is refused: the reasons that it names, and those of all calls."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from google.rpc import code_pb2

from tools import errors
from tools.openapi.contract import Rpc
from tools.openapi.rules import Node

KEY = "Idempotency-Key"
_OF_ALL = (
    "VALIDATION_FAILED",
    "TOO_MANY_REQUESTS",
    "OVERLOADED",
    "HEADERS_TOO_LARGE",
    "INTERNAL",
    "DEPENDENCY_UNAVAILABLE",
)
_OF_TOKENS = (
    "TOKEN_MISSING",
    "TOKEN_NOT_VALID",
    "TOKEN_EXPIRED",
    "SESSION_ENDED",
    "SESSION_REPLACED",
    "ROLE_NOT_ALLOWED",
    "ACCOUNT_SUSPENDED",
    "ACCOUNT_CLOSED",
)
_OF_BODIES = ("REQUEST_TIMED_OUT", "REQUEST_TOO_LARGE")
_COMMON = (*_OF_ALL, *_OF_TOKENS, *_OF_BODIES)
_OF_KEYS = ("IDEMPOTENCY_KEY_REQUIRED", "IDEMPOTENCY_KEY_REUSED")
_OAUTH = {
    400: "`invalid_request`, `unsupported_grant_type`, `invalid_scope` and the like.",
    401: "`invalid_client`: id or secret is wrong.",
    408: "`invalid_request`: it did not arrive in time.",
    413: "`invalid_request`: it is too large.",
    429: "`temporarily_unavailable`: too many tries.",
    431: "`invalid_request`: its headers are too large.",
    500: "`server_error`: something unforeseen.",
    503: "`temporarily_unavailable`: a part of Scrip does not respond.",
}
_WAITS = {429, 503}


class Refusals:
    """Makes responses, and keeps the examples that they refer to."""

    def __init__(self) -> None:
        self._reasons = {reason.name: reason for reason in errors.reasons()}
        self.examples: dict[str, Node] = {}
        self.shared: dict[str, Node] = {}
        """The responses that most calls have, by the name to which they refer."""

    @property
    def names(self) -> list[str]:
        """All reasons, in the contract's order."""
        return list(self._reasons)

    def of(self, rpc: Rpc) -> Node:
        """Returns the responses by status. Raises KeyError for a reason that does not exist."""
        if rpc.method.name == "IssueClientToken":
            return {str(status): _oauth(status, text) for status, text in _OAUTH.items()}
        by_status: dict[int, list[errors.Reason]] = defaultdict(list)
        for name in all_reasons(rpc):
            reason = self._reasons[name]
            by_status[reason.http_status].append(reason)
        return {str(status): self._response(status, by_status[status]) for status in sorted(by_status)}

    def _response(self, status: int, reasons: list[errors.Reason]) -> Node:
        common = {name for name in _COMMON if self._reasons[name].http_status == status}
        if {reason.name for reason in reasons} != common:
            return self._described(status, reasons)
        name = f"Refused{status}"
        self.shared[name] = self._described(status, reasons)
        return {"$ref": f"#/components/responses/{name}"}

    def _described(self, status: int, reasons: list[errors.Reason]) -> Node:
        for reason in reasons:
            self.examples[reason.name] = {"summary": reason.meaning, "value": _status(reason)}
        named = {reason.name: {"$ref": f"#/components/examples/{reason.name}"} for reason in reasons}
        return {
            "description": "\n".join(f"- `{reason.name}`: {reason.meaning}" for reason in reasons),
            "headers": _headers(status),
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Status"}, "examples": named}
            },
        }


def all_reasons(rpc: Rpc) -> list[str]:
    """Returns the reasons with which a call may be refused: its own first, then those of all such calls."""
    return list(dict.fromkeys([*rpc.reasons, *_general(rpc)]))


def key_of(rpc: Rpc) -> str:
    """Returns whether a call takes an `Idempotency-Key`: `required`, `optional`, or an empty text if not."""
    text = " ".join(rpc.comment.split())
    if f"`{KEY}`" not in text:
        return ""
    return "required" if f"Needs an `{KEY}`" in text else "optional"


def _general(rpc: Rpc) -> Iterator[str]:
    yield from _OF_ALL
    if not rpc.permission.anyone:
        yield from _OF_TOKENS
    if rpc.body:
        yield from _OF_BODIES
    if "page_token" in rpc.method.input_type.fields_by_name:
        yield "PAGE_TOKEN_NOT_VALID"
    if key_of(rpc):
        yield from _OF_KEYS if key_of(rpc) == "required" else _OF_KEYS[1:]
    if rpc.service.startswith("Sandbox"):
        yield "NOT_SERVED"


def _status(reason: errors.Reason) -> Node:
    return {
        "code": code_pb2.Code.Value(reason.code),
        "message": reason.meaning,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason.name,
                "domain": "scrip",
                "metadata": json.loads(reason.metadata or "{}"),
            }
        ],
    }


def _oauth(status: int, text: str) -> Node:
    return {
        "description": text,
        "headers": _headers(status),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}},
    }


def _headers(status: int) -> Node:
    names = ["X-Request-Id", *(["Retry-After"] if status in _WAITS else [])]
    names += ["WWW-Authenticate"] if status == 401 else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
