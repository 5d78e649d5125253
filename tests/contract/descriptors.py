"""The contract as compiled: its elements with their comments, and its RPCs with their options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from scrip.common.v1 import error_reason_pb2, permission_pb2

from stack.envoy import DESCRIPTORS

ROLES = ("member", "till", "admin", "manager", "cashier", "brand_manager")
FIELD_TYPES = descriptor_pb2.FieldDescriptorProto
_LINTER = "buf:lint:"
_FILE = descriptor_pb2.FileDescriptorProto
_MESSAGE = descriptor_pb2.DescriptorProto


@dataclass(frozen=True)
class Element:
    """Something that a reader of the protos meets."""

    name: str
    comment: str


@dataclass(frozen=True)
class Binding:
    """An HTTP method and path of an RPC."""

    method: str
    path: str
    body: str


@dataclass(frozen=True)
class Rpc:
    """One RPC."""

    package: str
    service: str
    name: str
    comment: str
    permission: permission_pb2.Permission
    bindings: Sequence[Binding]
    request: str
    response: str
    streams: bool
    takes_stream: bool

    @property
    def internal(self) -> bool:
        """Whether it belongs to an internal package."""
        return ".internal." in self.package

    @property
    def short_name(self) -> str:
        """As documents call it: `MemberService.GetMe`."""
        return f"{self.service}.{self.name}"

    @property
    def path(self) -> str:
        """As gRPC calls it."""
        return f"/{self.package}.{self.service}/{self.name}"

    @property
    def roles(self) -> frozenset[str]:
        """The roles that may call it."""
        names = (permission_pb2.Role.Name(role) for role in self.permission.roles)
        return frozenset(name.removeprefix("ROLE_").lower() for name in names)


@cache
def files() -> Sequence[descriptor_pb2.FileDescriptorProto]:
    """Scrip's own files."""
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return [file for file in described.file if file.package.startswith("scrip.")]


@cache
def messages() -> dict[str, descriptor_pb2.DescriptorProto]:
    """Scrip's messages by full name."""
    found = {f"{file.package}.{message.name}": message for file in files() for message in file.message_type}
    for name, message in list(found.items()):
        found |= {f"{name}.{nested.name}": nested for nested in message.nested_type}
    return found


@cache
def rpcs() -> Sequence[Rpc]:
    """Returns all RPCs."""
    return [
        _rpc(file, service, method, _comments(file).get((6, at, 2, method_at), ""))
        for file in files()
        for at, service in enumerate(file.service)
        for method_at, method in enumerate(service.method)
    ]


def reasons() -> dict[str, descriptor_pb2.EnumValueDescriptorProto]:
    """Returns the values of ErrorReason by reason, but for the unspecified one."""
    enums = {enum.name: enum for file in files() for enum in file.enum_type}
    return {value.name.removeprefix("ERROR_REASON_"): value for value in enums["ErrorReason"].value[1:]}


def status_code(value: descriptor_pb2.EnumValueDescriptorProto) -> int:
    """Returns the status code that a reason declares; 0 when it declares none."""
    return int(value.options.Extensions[error_reason_pb2.status_code])


def elements() -> Iterator[Element]:
    """Every service, RPC, message, field, oneof, extension, enum and enum value."""
    for file in files():
        comments = _comments(file)
        for name, path in _paths(file):
            yield Element(f"{file.package}.{name}", comments.get(path, ""))


def request_fields(name: str, prefix: str = "") -> Iterator[str]:
    """The fields of a request as a query could name them: `otp.code`."""
    for field in messages()[name].field:
        yield f"{prefix}{field.name}"
        nested = field.type_name.lstrip(".")
        if field.type == FIELD_TYPES.TYPE_MESSAGE and nested in messages():
            yield from request_fields(nested, f"{prefix}{field.name}.")


def _rpc(
    file: descriptor_pb2.FileDescriptorProto,
    service: descriptor_pb2.ServiceDescriptorProto,
    method: descriptor_pb2.MethodDescriptorProto,
    comment: str,
) -> Rpc:
    return Rpc(
        package=file.package,
        service=service.name,
        name=method.name,
        comment=comment,
        permission=method.options.Extensions[permission_pb2.permission],
        bindings=list(_bindings(method)),
        request=method.input_type.lstrip("."),
        response=method.output_type.lstrip("."),
        streams=method.server_streaming,
        takes_stream=method.client_streaming,
    )


def _bindings(method: descriptor_pb2.MethodDescriptorProto) -> Iterator[Binding]:
    http: Any = annotations_pb2.http  # its types do not know it as an extension
    if method.options.HasExtension(http):
        rule = method.options.Extensions[http]
        for each in (rule, *rule.additional_bindings):
            verb = each.WhichOneof("pattern")
            yield Binding(str(verb).upper(), str(getattr(each, str(verb))), each.body)


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Comments by path, without what only the linter reads."""
    return {
        tuple(location.path): " ".join(
            word
            for line in location.leading_comments.splitlines()
            if not line.strip().startswith(_LINTER)
            for word in line.split()
        )
        for location in file.source_code_info.location
    }


def _paths(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names of all elements of a file, and where source info has their comments."""
    for at, service in enumerate(file.service):
        path = (_FILE.SERVICE_FIELD_NUMBER, at)
        yield service.name, path
        yield from _members(service.name, service.method, (*path, 2))
    for at, message in enumerate(file.message_type):
        yield from _message_paths(message, message.name, (_FILE.MESSAGE_TYPE_FIELD_NUMBER, at))
    for at, enum in enumerate(file.enum_type):
        path = (_FILE.ENUM_TYPE_FIELD_NUMBER, at)
        yield enum.name, path
        yield from _members(enum.name, enum.value, (*path, 2))
    yield from _members("extend", file.extension, (_FILE.EXTENSION_FIELD_NUMBER,))


def _message_paths(
    message: descriptor_pb2.DescriptorProto, name: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if message.options.map_entry:
        return
    yield name, path
    yield from _members(name, message.field, (*path, _MESSAGE.FIELD_FIELD_NUMBER))
    synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
    oneofs = [oneof for at, oneof in enumerate(message.oneof_decl) if at not in synthetic]
    yield from _members(name, oneofs, (*path, _MESSAGE.ONEOF_DECL_FIELD_NUMBER))
    for at, nested in enumerate(message.nested_type):
        nested_path = (*path, _MESSAGE.NESTED_TYPE_FIELD_NUMBER, at)
        yield from _message_paths(nested, f"{name}.{nested.name}", nested_path)
    for at, enum in enumerate(message.enum_type):
        enum_path = (*path, _MESSAGE.ENUM_TYPE_FIELD_NUMBER, at)
        yield f"{name}.{enum.name}", enum_path
        yield from _members(f"{name}.{enum.name}", enum.value, (*enum_path, 2))


def _members(
    owner: str, members: Sequence[Any], path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for at, member in enumerate(members):
        yield f"{owner}.{member.name}", (*path, at)
