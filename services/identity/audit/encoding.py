"""Audit entries as protobuf has them."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import audit_pb2

from services.common.encoding import timestamp
from services.identity.audit.queries import AuditRow

_EXACT = 2**53
"""Numbers of a Struct are floats, which hold whole numbers exactly up to here."""


def encode_entry(row: AuditRow) -> audit_pb2.AuditEntry:
    """Returns an audit entry."""
    return audit_pb2.AuditEntry(
        id=str(row.id),
        service=row.service,
        actor_id=row.actor_id,
        actor_role=encode_role(row.actor_role),
        action=row.action,
        target_id=row.target_id,
        occurred_at=timestamp(row.occurred_at),
        details=encode_details(row.details),
    )


def encode_role(role: str) -> permission_pb2.Role.ValueType:
    """Returns a role as tokens name it, such as `admin`; ROLE_UNSPECIFIED for one that no token has."""
    name = f"ROLE_{role.upper()}"
    known = name in permission_pb2.Role.keys()  # noqa: SIM118  # not a mapping
    return permission_pb2.Role.Value(name) if known else permission_pb2.ROLE_UNSPECIFIED


def encode_details(details: dict[str, Any]) -> struct_pb2.Struct:
    """Returns the details of an entry."""
    encoded = struct_pb2.Struct()
    encoded.update({name: _exact(value) for name, value in details.items()})
    return encoded


def _exact(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() if abs(value) > _EXACT:
            return str(value)
        case dict():
            return {name: _exact(each) for name, each in value.items()}
        case list():
            return [_exact(each) for each in value]
        case _:
            return value
