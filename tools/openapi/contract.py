"""The public contract as compiled: its RPCs with their routes, and the comments of everything."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor
from scrip.common.v1 import permission_pb2

ROOT = Path(__file__).resolve().parent.parent.parent
DESCRIPTORS = ROOT / "build" / "api.binpb"

_REASONS = re.compile(r"Reasons: ([^.]*)\.")
_REASON = re.compile(r"\b[A-Z][A-Z0-9_]{3,}\b")
_LINTER = "buf:lint:"
_VARIABLE = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Rpc:
    """A public RPC that has a route."""

    method: MethodDescriptor
    comment: str
    verb: str
    path: str
    body: str
    """The field that is the body, `*` for all that is not in the path, or an empty text."""
    permission: permission_pb2.Permission

    @property
    def package(self) -> str:
        """The service's part of the package's name, such as `points`."""
        return str(self.method.containing_service.file.package).split(".")[1]

    @property
    def service(self) -> str:
        """The proto service, such as `PurchaseService`."""
        return str(self.method.containing_service.name)

    @property
    def in_path(self) -> Sequence[str]:
        """The fields of the request that are in the path."""
        return _VARIABLE.findall(self.path)

    @property
    def roles(self) -> Sequence[str]:
        """The roles that may call it, such as `member`; none when anyone may."""
        return [
            permission_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in self.permission.roles
        ]

    @property
    def reasons(self) -> Sequence[str]:
        """The reasons of refusals that are its own, in the order of its comment."""
        return named_reasons(self.comment)


class Contract:
    """What `make proto` has compiled."""

    def __init__(self) -> None:
        described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
        self.files = [
            file
            for file in described.file
            if file.package.startswith("scrip.") and ".internal." not in file.package
        ]
        self.comments = {name: comment for file in self.files for name, comment in _comments(file)}
        for file in self.files:
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")

    @cached_property
    def rpcs(self) -> Sequence[Rpc]:
        """All public RPCs with a route, in the contract's order."""
        pool = descriptor_pool.Default()
        http: Any = annotations_pb2.http  # its types do not know it as an extension
        return [
            _rpc(method, self.comments.get(method.full_name, ""))
            for file in self.files
            for service in file.service
            for method in pool.FindServiceByName(f"{file.package}.{service.name}").methods
            if method.GetOptions().HasExtension(http)
        ]

    def comment(self, described: Any) -> str:
        """Returns the comment of a descriptor: paragraphs with an empty line between them."""
        return self.comments.get(described.full_name, "")

    def name(self, described: Descriptor | EnumDescriptor | MethodDescriptor) -> str:
        """Returns the name that the document has for it: `OuterInner`, or with its package if two have it."""
        plain = _plain(described.full_name)
        if self._named[plain] == 1:
            return plain
        return described.full_name.split(".")[1].capitalize() + plain

    @cached_property
    def _named(self) -> Counter[str]:
        """How many messages, enums and RPCs have a name without its package."""
        methods = (rpc.method for rpc in self.rpcs)
        return Counter(
            [_plain(name) for file in self.files for name in _types(file)]
            + [_plain(method.full_name) for method in methods]
        )


def named_reasons(comment: str) -> Sequence[str]:
    """Returns the reasons in the comment of an RPC, each once."""
    text = " ".join(comment.split())
    return list(dict.fromkeys(word for found in _REASONS.findall(text) for word in _REASON.findall(found)))


def _rpc(method: MethodDescriptor, comment: str) -> Rpc:
    options: Any = method.GetOptions()
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return Rpc(
        method=method,
        comment=comment,
        verb=verb,
        path=getattr(rule, verb),
        body=rule.body,
        permission=options.Extensions[permission_pb2.permission],
    )


def _plain(full_name: str) -> str:
    """Returns a name without its package, and that of an RPC without its service."""
    return "".join(part for part in full_name.split(".")[3:] if not part.endswith("Service"))


def _types(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
    for message in file.message_type:
        yield from _nested(message, file.package)


def _nested(message: descriptor_pb2.DescriptorProto, owner: str) -> Iterator[str]:
    name = f"{owner}.{message.name}"
    yield name
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
    for nested in message.nested_type:
        yield from _nested(nested, name)


def _comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """The comments of a file by full name. That of an enum's value is by its enum's: `Enum.VALUE`."""
    for location in file.source_code_info.location:
        text = _text(location.leading_comments)
        name = _name_at(file, list(location.path)) if text else ""
        if name:
            yield f"{file.package}.{name}", text


def _name_at(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """Returns the name of the element at a path of source info; an empty text for what has none."""
    element: Any = file
    names = []
    while path:
        if len(path) == 1 or path[0] not in element.DESCRIPTOR.fields_by_number:
            return ""
        field = element.DESCRIPTOR.fields_by_number[path.pop(0)]
        members = getattr(element, field.name)
        at = path.pop(0)
        if field.name == "options":
            return ""
        element = members[at]
        names.append(element.name)
    return ".".join(names)


def _text(comment: str) -> str:
    """Returns a comment's paragraphs, each on one line, without what only the linter reads."""
    lines = [line.strip() for line in comment.splitlines() if not line.strip().startswith(_LINTER)]
    paragraphs = re.split(r"\n\n+", "\n".join(lines).strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
