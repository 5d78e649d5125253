"""Reads of what staff changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.lists import Listing, SortKey, parse_moment


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A change made by staff."""

    id: UUID
    service: str
    actor_id: str
    actor_role: str
    action: str
    target_id: str
    occurred_at: datetime
    details: dict[str, Any]


AUDIT_ENTRIES = Listing(
    row=AuditRow,
    columns="id, service, actor_id, actor_role, action, target_id, occurred_at, details",
    source="audit_entries",
    filters={
        "actor_id": "actor_id = %(actor_id)s",
        "action": "action = %(action)s",
        "target_id": "target_id = %(target_id)s",
        "service": "service = %(service)s",
        "occurred_from": "occurred_at >= %(occurred_from)s",
        "occurred_until": "occurred_at < %(occurred_until)s",
    },
    keys={"occurred_at": SortKey("occurred_at", "occurred_at", parse_moment)},
    key=SortKey("id", "id", UUID),
    default_order="occurred_at desc",
)
"""What staff changed, in every service."""
