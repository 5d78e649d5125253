"""Messages and enums as schemas: of requests with their rules, of responses with what is always printed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from tools.openapi import examples, rules
from tools.openapi.contract import Contract
from tools.openapi.rules import Node

STATUS = "google.rpc.Status"
WELL_KNOWN: dict[str, Node] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    STATUS: {"$ref": "#/components/schemas/Status"},
}
_INT64 = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_SCALARS: dict[int, Node] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: _INT64,
}


class Schemas:
    """The schemas of the document, made as they are referred to.

    A message that requests hold is called `...Input` and has rules; as a part of responses it is another
    schema, without rules and with all that is always printed as required.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.made: dict[str, Node] = {}

    def ref(self, message: Descriptor, *, sent: bool, without: Collection[str] = ()) -> Node:
        """Returns a reference to the schema of a message, in a request (`sent`) or in a response.

        `without` are fields that stand in the path.
        """
        if message.full_name in WELL_KNOWN:
            return dict(WELL_KNOWN[message.full_name])
        name = self._contract.name(message)
        if sent and not message.name.endswith("Request"):
            name += "Input"
        if name not in self.made:
            self.made[name] = {}
            self.made[name] = self._object(message, sent, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor, *, sent: bool) -> Node:
        """Returns the schema of a field."""
        schema = self._value(field, sent)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        if sent:
            schema = rules.apply(field, schema)
        description = " ".join([self._contract.comment(field), *(rules.words(field) if sent else [])])
        example = examples.of_scalar(field, self._contract)
        return schema | {"description": description} | ({} if example is None else {"examples": [example]})

    def _value(self, field: FieldDescriptor, sent: bool) -> Node:
        if field.message_type is not None:
            return self.ref(field.message_type, sent=sent)
        if field.enum_type is None:
            return dict(_SCALARS[field.type])
        allowed = _allowed_values(field, field.enum_type) if sent else None
        return {"type": "string", "enum": allowed} if allowed else self._enum(field.enum_type)

    def _enum(self, enum: EnumDescriptor) -> Node:
        name = self._contract.name(enum)
        if name not in self.made:
            comment = self._contract.comments.get
            values = [
                f"- `{value.name}`: {comment(f'{enum.full_name}.{value.name}', '')}" for value in enum.values
            ]
            self.made[name] = {
                "type": "string",
                "enum": [value.name for value in enum.values],
                "description": "\n".join([self._contract.comment(enum), "", *values]),
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, message: Descriptor, sent: bool, without: Collection[str]) -> Node:
        fields = [field for field in message.fields if field.name not in without]
        schema: Node = {
            "type": "object",
            "description": "\n\n".join([self._contract.comment(message), *self._choices(message, sent)]),
            "properties": {field.name: self.field(field, sent=sent) for field in fields},
        }
        required = [f.name for f in fields if (rules.must_be_given(f) if sent else not f.has_presence)]
        choices = [_one_of(oneof) for oneof in message.oneofs if sent and _is_required(oneof)]
        if len(choices) == 1:
            schema |= choices[0]
        elif choices:
            schema["allOf"] = choices
        return schema | ({"required": required} if required else {})

    def _choices(self, message: Descriptor, sent: bool) -> Iterator[str]:
        """Yields, in words, which fields exclude each other, and the rules between fields."""
        for oneof in _real_oneofs(message):
            count = "Exactly one" if _is_required(oneof) else "At most one"
            names = ", ".join(f"`{field.name}`" for field in oneof.fields)
            yield f"{self._contract.comment(oneof)} {count} of {names}."
        if sent:
            options: Any = message.GetOptions()
            for cel in options.Extensions[validate_pb2.message].cel:
                yield f"Rule: {cel.message}."


def _allowed_values(field: FieldDescriptor, enum: EnumDescriptor) -> Sequence[str] | None:
    """Returns the names of those values that a request's field takes; None when it takes all."""
    of_enum = rules.rules_of(field).enum
    allowed, refused = list(getattr(of_enum, "in")), set(of_enum.not_in)
    if rules.rules_of(field).required:
        refused.add(0)
    if not allowed and not refused:
        return None
    return [
        value.name
        for value in enum.values
        if (not allowed or value.number in allowed) and value.number not in refused
    ]


def _real_oneofs(message: Descriptor) -> Iterator[OneofDescriptor]:
    """Yields the message's choices, and not those that protoc makes of optional fields."""
    for oneof in message.oneofs:
        if not oneof.name.startswith("_"):
            yield oneof


def _is_required(oneof: OneofDescriptor) -> bool:
    options: Any = oneof.GetOptions()
    return bool(options.Extensions[validate_pb2.oneof].required)


def _one_of(oneof: OneofDescriptor) -> Node:
    return {"oneOf": [{"required": [field.name]} for field in oneof.fields]}
