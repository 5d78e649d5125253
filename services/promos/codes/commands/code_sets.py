"""Sets of codes: making them, and asking for codes in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common import jobs
from services.common.db import Connection, execute, fetch_first
from services.promos.benefits import Benefit, values
from services.promos.codes.refusals import code_set_conflict

MAKE_JOB = "make_codes"


@dataclass(frozen=True, slots=True)
class _Progress:
    usable: int
    lacking: bool


async def make_code_set(
    connection: Connection, code_set_id: UUID, *, benefit: Benefit, expires_at: datetime | None
) -> None:
    """Makes a set without codes, whose codes are made one by one as they are given away."""
    await execute(
        connection,
        """
        INSERT INTO code_sets (id, amount_off_minor, currency_code, percent_off, expires_at)
        VALUES (%(id)s, %(amount_off_minor)s, %(currency_code)s, %(percent_off)s, %(expires_at)s)
        """,
        id=code_set_id,
        expires_at=expires_at,
        **values(benefit),
    )


async def ensure_codes(
    connection: Connection, *, code_set_id: UUID, quantity: int, benefit: Benefit, expires_at: datetime | None
) -> int:
    """Ensures that the set exists and will have `quantity` codes; returns how many it has by now.

    Withdrawn codes do not count. Raises CODE_SET_CONFLICT when the set has another benefit or expiry.
    """
    progress = await fetch_first(
        connection,
        _Progress,
        """
        INSERT INTO code_sets AS s (id, amount_off_minor, currency_code, percent_off, expires_at, wanted)
        VALUES (
          %(id)s, %(amount_off_minor)s, %(currency_code)s, %(percent_off)s, %(expires_at)s, %(quantity)s
        )
        ON CONFLICT (id) DO UPDATE SET wanted = greatest(s.wanted, excluded.wanted)
        WHERE (s.amount_off_minor, s.currency_code, s.percent_off, s.expires_at) IS NOT DISTINCT FROM
          (excluded.amount_off_minor, excluded.currency_code, excluded.percent_off, excluded.expires_at)
        RETURNING greatest(made - voided, 0) AS usable, made < wanted + voided AS lacking
        """,
        id=code_set_id,
        quantity=quantity,
        expires_at=expires_at,
        **values(benefit),
    )
    if progress is None:
        raise code_set_conflict(code_set_id)
    if progress.lacking:
        await make_later(connection, code_set_id)
    return progress.usable


async def make_later(connection: Connection, code_set_id: UUID) -> None:
    """Has the codes that a set lacks made in the background; one job of a set runs at a time."""
    await jobs.defer(connection, MAKE_JOB, lock=f"{MAKE_JOB}:{code_set_id}", code_set_id=str(code_set_id))
