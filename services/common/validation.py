"""The rules that the contract declares (`buf.validate`), checked on every request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import protovalidate
from google.protobuf.message import Message

from services.common.errors import DomainError, FieldViolation, invalid_field

_validator = protovalidate.Validator()
_NAMED_FIELDS = 20  # a status travels in trailers, for which gRPC has 8 KiB
_FIELDS_IN_MESSAGE = 5
_NUMBER = re.compile(r"-?[0-9]+")

_USER_NAME = "must be 3 to 64 letters, digits, dots, dashes and underscores, beginning with a letter"
_CURRENCY = "must be a currency code of ISO 4217 in capitals, such as USD"
_DATE = "must be a date as YYYY-MM-DD"
_PHONE = "must be a phone number in E.164 form, such as +4930123456"
_URL = "must be an address that begins with https://"
FORMS = {
    r"\S": "must not be blank",
    "^[0-9]{6}$": "must be 6 digits",
    "^[A-Z]{3}$": _CURRENCY,
    "^([A-Z]{3})?$": _CURRENCY,
    "^[A-Z]{2}$": "must be a country code of ISO 3166-1 in capitals, such as DE",
    "^[A-Za-z][A-Za-z0-9._-]{2,63}$": _USER_NAME,
    "^([A-Za-z][A-Za-z0-9._-]{2,63})?$": _USER_NAME,
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$": _DATE,
    "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$": _DATE,
    r"^\+[1-9][0-9]{5,14}$": _PHONE,
    r"^(\+[1-9][0-9]{5,14})?$": _PHONE,
    "^[A-Za-z][A-Za-z0-9_+/-]*$": "must be a time zone of the tz database, such as Europe/Berlin",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$": "must be a time of day from 00:00 to 23:59, such as 09:00",
    "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": "must be a time of day from 00:00 to 24:00, such as 18:30",
    "^https://[!-~]+$": _URL,
    "^(https://.+)?$": _URL,
}
"""What each regular expression of the contract asks for, in words."""


def validate(request: Message) -> None:
    """Raises VALIDATION_FAILED, naming the fields that break their rules: all, or the first 20."""
    violations = _validator.collect_violations(request)
    if not violations:
        return
    fields = tuple(_in_words(violation, request.DESCRIPTOR) for violation in violations[:_NAMED_FIELDS])
    text = "; ".join(f"{f.field}: {f.description}" for f in fields[:_FIELDS_IN_MESSAGE])
    if len(violations) > _FIELDS_IN_MESSAGE:
        text += f"; and {len(violations) - _FIELDS_IN_MESSAGE} more"
    raise DomainError("VALIDATION_FAILED", f"the request is not valid: {text}", fields=fields)


def undecodable() -> DomainError:
    """Returns the refusal of bytes that are no message of the call: malformed, or text that is not UTF-8."""
    return invalid_field("request", "must be a message of this call, with texts in UTF-8")


def _in_words(violation: protovalidate.Violation, request: Any) -> FieldViolation:
    """Returns a violation for its reader, who knows fields, but neither oneofs nor patterns."""
    told = violation.proto
    path: Sequence[Any] = told.field.elements if told.field else ()
    description = told.message or ""
    match told.rule_id:
        case "required" if fields := _choice(request, path):
            return FieldViolation(_name(path[:-1]), f"exactly one of {fields} is required")
        case "string.pattern":
            description = FORMS.get(violation.rule_value, "does not have the form that it must have")
        case "enum.in":
            description = f"must be one of {_enum_values(request, path, description)}"
        case "enum.not_in":
            description = f"must not be {_enum_values(request, path, description)}"
    return FieldViolation(_name(path), description)


def _name(path: Sequence[Any]) -> str:
    """Returns a field as its reader would write it, such as `items[2].sku`."""
    parts = []
    for element in path:
        index = f"[{element.subscript.value}]" if element.subscript is not None else ""
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts) or "request"


def _choice(request: Any, path: Sequence[Any]) -> str:
    """Returns the fields of the oneof at a path; nothing when it is the path of a field."""
    oneof = _around(request, path).oneofs_by_name.get(path[-1].field_name) if path else None
    if oneof is None:
        return ""
    *others, last = (field.name for field in oneof.fields)
    return f"{', '.join(others)} and {last}"


def _enum_values(request: Any, path: Sequence[Any], message: str) -> str:
    """Returns the names of the values of an enum whose numbers a message has."""
    values = _around(request, path).fields_by_name[path[-1].field_name].enum_type.values_by_number
    return ", ".join(values[int(number)].name for number in _NUMBER.findall(message))


def _around(request: Any, path: Sequence[Any]) -> Any:
    """Returns the descriptor of the message that has what is at the end of a path."""
    message = request
    for element in path[:-1]:
        message = message.fields_by_name[element.field_name].message_type
        if message.GetOptions().map_entry:
            message = message.fields_by_name["value"].message_type
    return message
