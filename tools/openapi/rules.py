"""The rules of fields (`buf.validate`) as JSON Schema, and in words where it has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

Node = dict[str, Any]

_COUNTS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "pattern": "pattern",
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
    "const": "const",
}
_FORMATS = ("email", "uuid", "uri")
# These say what JSON cannot break, what the kind of field says, or what the schema of its values says.
_SAID_ELSEWHERE = {"finite", "defined_only", "items", "in", "not_in"}


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """Returns the rules of a field."""
    options: Any = field.GetOptions()
    rules: validate_pb2.FieldRules = options.Extensions[validate_pb2.field]
    return rules


def apply(field: FieldDescriptor, schema: Node) -> Node:
    """Returns the schema of a request's field with its rules. Raises ValueError for an unknown rule."""
    return _apply(rules_of(field), schema, field)


def _apply(rules: validate_pb2.FieldRules, schema: Node, field: FieldDescriptor) -> Node:
    kind = rules.WhichOneof("type")
    if kind is None:
        return schema
    of_kind = getattr(rules, kind)
    if kind == "int64":
        return _int64(of_kind, schema)
    if kind == "enum":
        return schema
    said: Node = {}
    for rule, value in of_kind.ListFields():
        if rule.name in _COUNTS:
            said[_COUNTS[rule.name]] = value
        elif rule.name in _FORMATS:
            said["format"] = rule.name
        elif rule.name not in _SAID_ELSEWHERE and (kind, rule.name) != ("timestamp", "gt_now"):
            raise ValueError(f"{field.full_name}: {kind}.{rule.name} has no place in the document yet")
    if kind == "repeated" and of_kind.HasField("items"):
        said["items"] = _apply(of_kind.items, schema["items"], field)
    elif kind != "repeated" and "in" in of_kind.DESCRIPTOR.fields_by_name:
        said |= _listed(of_kind)
    return schema | said


def _listed(of_kind: Any) -> Node:
    allowed, refused = list(getattr(of_kind, "in")), list(of_kind.not_in)
    return ({"enum": allowed} if allowed else {}) | ({"not": {"enum": refused}} if refused else {})


def _int64(of_kind: Any, schema: Node) -> Node:
    """These are texts in JSON: their range is told in words, and their sign by the pattern."""
    not_negative = of_kind.gte >= 0 if of_kind.HasField("gte") else of_kind.gt >= 0 and of_kind.HasField("gt")
    return schema | ({"pattern": "^[0-9]{1,19}$"} if not_negative else {})


def words(field: FieldDescriptor) -> Sequence[str]:
    """Returns what a schema cannot say of a request's field, as sentences."""
    rules = rules_of(field)
    said = [f"{cel.message[0].upper()}{cel.message[1:]}." for cel in rules.cel]
    if rules.timestamp.gt_now:
        said.append("Must lie in the future.")
    if rules.WhichOneof("type") == "int64":
        least = rules.int64.gte if rules.int64.HasField("gte") else rules.int64.gt + 1
        if rules.int64.HasField("lte"):
            said.append(f"From {least} to {rules.int64.lte}.")
        else:
            said.append(f"At least {least}.")
    return said


def must_be_given(field: FieldDescriptor) -> bool:
    """Returns whether a request without this field is refused, by the rules of the field alone."""
    rules = rules_of(field)
    if rules.required:
        return True
    if field.has_presence or rules.ignore != validate_pb2.IGNORE_UNSPECIFIED:
        return False
    kind = rules.WhichOneof("type")
    return kind is not None and _refuses_nothing(kind, getattr(rules, kind))


def _refuses_nothing(kind: str, of_kind: Any) -> bool:
    """Returns whether a field breaks its rules when it is absent, which reads as empty, 0 or false."""
    if kind == "repeated":
        return bool(of_kind.min_items)
    nothing: Any = {"string": "", "bytes": b"", "bool": False}.get(kind, 0)
    names = {rule.name: value for rule, value in of_kind.ListFields()}
    return (
        bool(names.get("min_len"))
        or any(form in names for form in _FORMATS)
        or ("pattern" in names and re.search(names["pattern"], "") is None)
        or ("in" in names and nothing not in names["in"])
        or ("not_in" in names and nothing in names["not_in"])
        or ("const" in names and names["const"] != nothing)
        or ("gte" in names and names["gte"] > 0)
        or ("gt" in names and names["gt"] >= 0)
    )
