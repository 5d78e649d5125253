"""The end of sending a one-time password: it was sent, a try failed, or it is too late."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Connection, execute


async def end_otp_delivery(connection: Connection, otp_id: UUID) -> None:
    """Removes the code: it was sent."""
    await execute(connection, "DELETE FROM otp_deliveries WHERE otp_id = %(otp_id)s", otp_id=otp_id)


async def count_failed_try(connection: Connection, otp_id: UUID, why: str) -> None:
    """Keeps for staff that sending failed, and why."""
    await execute(
        connection,
        """
        UPDATE otp_deliveries SET tries = tries + 1, last_error = %(why)s, tried_at = now()
        WHERE otp_id = %(otp_id)s
        """,
        otp_id=otp_id,
        why=why,
    )


async def fail_otp_delivery(connection: Connection, otp_id: UUID) -> None:
    """Removes a code that is too late; that it was not sent is kept."""
    await execute(
        connection,
        """
        UPDATE otp_deliveries SET sealed_code = NULL, failed_at = now()
        WHERE otp_id = %(otp_id)s AND failed_at IS NULL
        """,
        otp_id=otp_id,
    )


async def fail_late_deliveries(connection: Connection) -> int:
    """Removes up to 1,000 codes that expired before they were sent; returns how many."""
    return await execute(
        connection,
        """
        UPDATE otp_deliveries SET sealed_code = NULL, failed_at = now()
        WHERE failed_at IS NULL AND otp_id IN (
          SELECT d.otp_id FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id
          WHERE d.failed_at IS NULL AND o.used_at IS NULL AND o.expires_at <= now()
          LIMIT 1000 FOR UPDATE OF d SKIP LOCKED
        )
        """,
    )
