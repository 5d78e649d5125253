"""The rules that the contract declares (`buf.validate`), checked on every request."""

from __future__ import annotations

from typing import Any

import protovalidate
from google.protobuf.message import Message

from services.common.errors import DomainError, FieldViolation, invalid_field

_validator = protovalidate.Validator()
_NAMED_FIELDS = 20  # a status travels in trailers, for which gRPC has 8 KiB
_FIELDS_IN_MESSAGE = 5


def validate(request: Message) -> None:
    """Raises VALIDATION_FAILED, naming the fields that break their rules: all, or the first 20."""
    violations = _validator.collect_violations(request)
    if not violations:
        return
    fields = tuple(FieldViolation(_path(v.proto), v.proto.message) for v in violations[:_NAMED_FIELDS])
    text = "; ".join(f"{f.field}: {f.description}" for f in fields[:_FIELDS_IN_MESSAGE])
    if len(violations) > _FIELDS_IN_MESSAGE:
        text += f"; and {len(violations) - _FIELDS_IN_MESSAGE} more"
    raise DomainError("VALIDATION_FAILED", f"the request is not valid: {text}", fields=fields)


def undecodable() -> DomainError:
    """Returns the refusal of bytes that are no message of the call: malformed, or text that is not UTF-8."""
    return invalid_field("request", "must be a message of this call, with texts in UTF-8")


def _path(violation: Any) -> str:
    """Returns the field as its reader would write it, such as `items[2].sku`."""
    if violation.field is None:
        return "request"
    parts = []
    for element in violation.field.elements:
        index = f"[{element.subscript.value}]" if element.subscript is not None else ""
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts) or "request"
