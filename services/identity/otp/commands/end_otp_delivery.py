"""The end of sending a one-time password: it was sent, it failed once, or it is too late."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection

_LATE = "UPDATE otp_deliveries SET sealed_code = NULL, failed_at = now() WHERE failed_at IS NULL AND otp_id"


async def end_otp_delivery(connection: Connection, otp_id: UUID) -> None:
    """Forgets the code: it was sent."""
    await connection.execute(text("DELETE FROM otp_deliveries WHERE otp_id = :otp_id"), {"otp_id": otp_id})


async def count_failed_try(connection: Connection, otp_id: UUID, why: str) -> None:
    """Keeps for staff that sending failed, and why."""
    await connection.execute(
        text(
            "UPDATE otp_deliveries SET tries = tries + 1, last_error = :why, tried_at = now()"
            " WHERE otp_id = :otp_id"
        ),
        {"otp_id": otp_id, "why": why},
    )


async def fail_otp_delivery(connection: Connection, otp_id: UUID) -> None:
    """Forgets a code that is too late; that it was not sent is kept."""
    await connection.execute(text(f"{_LATE} = :otp_id"), {"otp_id": otp_id})


async def fail_late_deliveries(connection: Connection) -> int:
    """Forgets up to 1,000 codes that expired before they were sent; answers how many."""
    failed = await connection.execute(
        text(
            f"{_LATE} IN (SELECT d.otp_id FROM otp_deliveries d JOIN otps o ON o.id = d.otp_id"  # noqa: S608  # of constants
            " WHERE d.failed_at IS NULL AND o.used_at IS NULL AND o.expires_at <= now()"
            " LIMIT 1000 FOR UPDATE OF d SKIP LOCKED)"
        )
    )
    return int(failed.rowcount)
