"""Turns a compiled file descriptor back into `.proto` source.

protovalidate ships the descriptor of `buf/validate/validate.proto`, no package ships its source, and
both protoc and buf want the source. Comments are lost; everything else compiles to the same descriptor.
"""

from collections.abc import Iterable, Iterator

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    message_factory,
    text_format,
    timestamp_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

FieldProto = descriptor_pb2.FieldDescriptorProto
MAX_FIELD_NUMBER = 2**29 - 1
IMPORTABLE = (
    descriptor_pb2.DESCRIPTOR,
    duration_pb2.DESCRIPTOR,
    field_mask_pb2.DESCRIPTOR,
    timestamp_pb2.DESCRIPTOR,
)


def source(file: descriptor_pb2.FileDescriptorProto) -> str:
    """Returns the `.proto` text of a proto2 or proto3 file that imports well-known types only.

    Raises ValueError for what such a file may hold and this printer does not know.
    """
    return "\n".join(_Printer(file).lines()) + "\n"


class _Printer:
    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        if file.syntax not in ("", "proto2", "proto3"):
            raise ValueError(f"{file.name}: cannot print {file.syntax}")
        if file.service:
            raise ValueError(f"{file.name}: cannot print services")
        self._file = file
        # Options that the file itself defines are readable only with a pool that holds the file.
        self._pool = descriptor_pool.DescriptorPool()
        for known in IMPORTABLE:
            copy = descriptor_pb2.FileDescriptorProto()
            known.CopyToProto(copy)
            self._pool.Add(copy)
        self._pool.Add(file)

    def lines(self) -> Iterator[str]:
        file = self._file
        yield f'syntax = "{file.syntax or "proto2"}";'
        yield f"package {file.package};"
        yield from (f'import "{name}";' for name in file.dependency)
        yield from self._options("FileOptions", file.options)
        for extension in file.extension:
            yield f"extend {extension.extendee} {{"
            yield f"  {self._field(extension)}"
            yield "}"
        for enum in file.enum_type:
            yield from self._enum(enum)
        for message in file.message_type:
            yield from self._message(message)

    def _message(self, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
        yield f"message {message.name} {{"
        yield from _indent(self._message_body(message))
        yield "}"

    def _message_body(self, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
        if message.options.map_entry or message.extension:
            raise ValueError(f"{message.name}: cannot print maps or nested extensions")
        yield from self._options("MessageOptions", message.options)
        # Reserved ranges of messages exclude their end, those of enums include it.
        yield from _reserved(((it.start, it.end - 1) for it in message.reserved_range), message.reserved_name)
        for extensions in message.extension_range:
            last = extensions.end - 1
            yield f"extensions {extensions.start} to {'max' if last == MAX_FIELD_NUMBER else last};"
        for nested in message.nested_type:
            yield from self._message(nested)
        for enum in message.enum_type:
            yield from self._enum(enum)
        printed: set[int] = set()
        for field in message.field:
            if not field.HasField("oneof_index") or field.proto3_optional:
                yield self._field(field)
            elif field.oneof_index not in printed:
                printed.add(field.oneof_index)
                yield from self._oneof(message, field.oneof_index)

    def _oneof(self, message: descriptor_pb2.DescriptorProto, index: int) -> Iterator[str]:
        oneof = message.oneof_decl[index]
        members = (it for it in message.field if it.HasField("oneof_index") and it.oneof_index == index)
        yield f"oneof {oneof.name} {{"
        yield from _indent(self._options("OneofOptions", oneof.options))
        yield from _indent(self._field(it, label=False) for it in members)
        yield "}"

    def _enum(self, enum: descriptor_pb2.EnumDescriptorProto) -> Iterator[str]:
        yield f"enum {enum.name} {{"
        yield from _indent(self._options("EnumOptions", enum.options))
        yield from _indent(_reserved(((it.start, it.end) for it in enum.reserved_range), enum.reserved_name))
        for value in enum.value:
            options = self._inline("EnumValueOptions", value.options)
            yield f"  {value.name} = {value.number}{_bracketed(options)};"
        yield "}"

    def _field(self, field: descriptor_pb2.FieldDescriptorProto, *, label: bool = True) -> str:
        kind = field.type_name or FieldProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        options = list(self._inline("FieldOptions", field.options))
        if field.HasField("default_value"):
            options.insert(0, f"default = {field.default_value}")
        prefix = self._label(field) if label else ""
        return f"{prefix}{kind} {field.name} = {field.number}{_bracketed(options)};"

    def _label(self, field: descriptor_pb2.FieldDescriptorProto) -> str:
        if field.label == FieldProto.LABEL_REPEATED:
            return "repeated "
        if field.label == FieldProto.LABEL_REQUIRED:
            return "required "
        return "optional " if self._file.syntax != "proto3" or field.proto3_optional else ""

    def _options(self, kind: str, options: Message) -> Iterator[str]:
        return (f"option {it};" for it in self._inline(kind, options))

    def _inline(self, kind: str, options: Message) -> Iterator[str]:
        """Each option that is set, as `name = value`."""
        descriptor: Descriptor = self._pool.FindMessageTypeByName(f"google.protobuf.{kind}")
        known = message_factory.GetMessageClass(descriptor)()
        known.ParseFromString(options.SerializeToString())
        for field, value in known.ListFields():
            name = f"({field.full_name})" if field.is_extension else field.name
            if field.is_repeated:
                raise ValueError(f"{name}: cannot print a repeated option")
            yield f"{name} = {_literal(field, value)}"


def _literal(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        return "{ " + text_format.MessageToString(value, as_one_line=True, as_utf8=True) + " }"
    if field.enum_type is not None:
        assert isinstance(value, int)
        return str(field.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value)


def _reserved(ranges: Iterable[tuple[int, int]], names: Iterable[str]) -> Iterator[str]:
    for first, last in ranges:
        yield f"reserved {first};" if first == last else f"reserved {first} to {last};"
    for name in names:
        yield f'reserved "{name}";'


def _bracketed(options: Iterable[str]) -> str:
    joined = ", ".join(options)
    return f" [{joined}]" if joined else ""


def _indent(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
