"""Which public RPCs each role may call, as the contract of all services declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import scrip
from google.protobuf.descriptor import FileDescriptor
from scrip.common.v1 import permission_pb2

_INTERNAL = ".internal."


def allowed_rpcs(not_served: Collection[str] = ()) -> Mapping[permission_pb2.Role.ValueType, Sequence[str]]:
    """Returns full names of the public RPCs that each role may call, sorted; those open to anyone included.

    `not_served` are full names of proto services that are switched off. It reads the generated modules of all
    services, which are there wherever a service runs; it knows nothing else of the others.
    """
    allowed: dict[permission_pb2.Role.ValueType, set[str]] = {
        role: set() for role in permission_pb2.Role.values() if role
    }
    for file in _files():
        for service in file.services_by_name.values():
            if service.full_name in not_served:
                continue
            for method in service.methods:
                permission = method.GetOptions().Extensions[permission_pb2.permission]
                for role in allowed if permission.anyone else permission.roles:
                    allowed[role].add(f"{service.full_name}.{method.name}")
    return {role: sorted(names) for role, names in allowed.items()}


def _files() -> Iterator[FileDescriptor]:
    """Yields the compiled files of all public packages."""
    for folder in map(Path, scrip.__path__):
        for path in sorted(folder.rglob("*_pb2.py")):
            module = ".".join(("scrip", *path.relative_to(folder).with_suffix("").parts))
            if _INTERNAL not in module:
                yield import_module(module).DESCRIPTOR
