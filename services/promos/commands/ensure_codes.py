"""Asking for codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common import jobs
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.promos.values import Benefit

MAKE_JOB = "make_codes"


async def ensure_codes(
    connection: Connection, *, code_set_id: UUID, quantity: int, benefit: Benefit, expires_at: datetime | None
) -> int:
    """Sees to it that the set exists and gets `quantity` codes; answers how many it has by now.

    Withdrawn codes do not count. Raises CODE_SET_CONFLICT when the set has another benefit or expiry.
    """
    result = await connection.execute(
        text(
            "INSERT INTO code_sets AS s"
            " (id, amount_off_minor, currency_code, percent_off, expires_at, wanted)"
            " VALUES (:id, :amount_off_minor, :currency_code, :percent_off, :expires_at, :quantity)"
            " ON CONFLICT (id) DO UPDATE SET wanted = greatest(s.wanted, EXCLUDED.wanted)"
            " WHERE (s.amount_off_minor, s.currency_code, s.percent_off, s.expires_at) IS NOT DISTINCT FROM"
            " (EXCLUDED.amount_off_minor, EXCLUDED.currency_code, EXCLUDED.percent_off, EXCLUDED.expires_at)"
            " RETURNING made - voided AS made, made < wanted + voided AS lacking"
        ),
        {
            "id": code_set_id,
            "amount_off_minor": benefit.amount_off_minor,
            "currency_code": benefit.currency_code,
            "percent_off": benefit.percent_off,
            "expires_at": expires_at,
            "quantity": quantity,
        },
    )
    row = result.first()
    if row is None:
        raise DomainError(
            "CODE_SET_CONFLICT", "the set exists with another benefit or expiry", code_set_id=code_set_id
        )
    if row.lacking:
        await make_later(connection, code_set_id)
    return max(0, int(row.made))


async def make_later(connection: Connection, code_set_id: UUID) -> None:
    """Has the codes that a set lacks made in the background; one job of a set runs at a time."""
    await jobs.defer(connection, MAKE_JOB, lock=f"{MAKE_JOB}:{code_set_id}", code_set_id=str(code_set_id))
