"""Reads of what happened to members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection


@dataclass(frozen=True)
class MemberEventRow:
    """An event of a member."""

    id: UUID
    version: int
    type: str
    occurred_at: datetime
    phone_hash: bytes | None
    shares_contact: bool


async def undelivered_events(
    connection: Connection, service: str, member_id: UUID
) -> Sequence[MemberEventRow]:
    """The member's events that the service has not applied yet, in order."""
    result = await connection.execute(
        text(
            "SELECT id, version, type, occurred_at, phone_hash, shares_contact FROM member_events"
            " WHERE member_id = :member_id AND version > coalesce((SELECT delivered_version"
            " FROM member_event_deliveries WHERE service = :service AND member_id = :member_id), 0)"
            " ORDER BY version LIMIT 100"
        ),
        {"service": service, "member_id": member_id},
    )
    return [MemberEventRow(*row) for row in result]
