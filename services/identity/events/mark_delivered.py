"""Keeping how far a service has heard of a member."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection


async def mark_delivered(connection: Connection, *, service: str, member_id: UUID, version: int) -> None:
    """Notes that the service has applied the member's events up to this version."""
    await connection.execute(
        text(
            "INSERT INTO member_event_deliveries (service, member_id, delivered_version)"
            " VALUES (:service, :member_id, :version) ON CONFLICT (service, member_id) DO UPDATE"
            " SET delivered_version = greatest(member_event_deliveries.delivered_version, :version)"
        ),
        {"service": service, "member_id": member_id, "version": version},
    )
