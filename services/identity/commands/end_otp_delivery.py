"""Forgetting the codes that were kept to be sent."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection


async def end_otp_delivery(connection: Connection, otp_id: UUID) -> None:
    """Forgets the code: it was sent, or it is too late."""
    await connection.execute(text("DELETE FROM otp_deliveries WHERE otp_id = :otp_id"), {"otp_id": otp_id})


async def forget_late_deliveries(connection: Connection) -> int:
    """Forgets up to 1,000 codes that expired before they were sent; answers how many."""
    removed = await connection.execute(
        text(
            "DELETE FROM otp_deliveries WHERE otp_id IN (SELECT d.otp_id FROM otp_deliveries d"
            " JOIN otps o ON o.id = d.otp_id WHERE o.expires_at <= now() LIMIT 1000)"
        )
    )
    return int(removed.rowcount)
