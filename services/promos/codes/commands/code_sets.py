"""Sets of codes: making them, and asking for codes in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common import jobs
from services.common.db import Connection, execute, fetch_first
from services.promos.benefits import BENEFIT_NAMES, BENEFIT_VALUES, Benefit, benefit_of, values
from services.promos.codes.refusals import code_set_conflict

MAKE_JOB = "make_codes"

Purpose = Literal["VOUCHER", "CAMPAIGN", "DISCOUNT", "HANDED_OUT"]
"""What the codes of a set are for: a voucher's orders, a campaign's winners, a brand's claims; or staff hand
them out themselves, and then they are good for whoever brings them."""


@dataclass(frozen=True, slots=True)
class _Progress:
    usable: int
    lacking: bool


_MAKE_SET = SQL(
    """
    INSERT INTO code_sets (id, purpose, expires_at, {names})
    VALUES (%(id)s, %(purpose)s, %(expires_at)s, {values})
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES)


async def make_code_set(
    connection: Connection,
    code_set_id: UUID,
    *,
    purpose: Purpose,
    benefit: Benefit,
    expires_at: datetime | None,
) -> None:
    """Makes a set without codes, whose codes are made one by one as they are given away."""
    await execute(
        connection,
        _MAKE_SET,
        id=code_set_id,
        purpose=purpose,
        expires_at=expires_at,
        **values(benefit),
    )


_ENSURE_SET = SQL(
    """
    INSERT INTO code_sets AS s (id, purpose, expires_at, wanted, {names})
    VALUES (%(id)s, 'VOUCHER', %(expires_at)s, %(quantity)s, {values})
    ON CONFLICT (id) DO UPDATE SET wanted = greatest(s.wanted, excluded.wanted)
    WHERE (s.purpose, s.expires_at, {kept}) IS NOT DISTINCT FROM ('VOUCHER', excluded.expires_at, {given})
    RETURNING greatest(made - voided, 0) AS usable, made < wanted + voided AS lacking
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES, kept=benefit_of("s"), given=benefit_of("excluded"))


async def ensure_codes(
    connection: Connection, *, code_set_id: UUID, quantity: int, benefit: Benefit, expires_at: datetime | None
) -> int:
    """Ensures that the set exists and will have `quantity` codes; returns how many it has by now.

    Withdrawn codes do not count. Raises CODE_SET_CONFLICT when the set has another benefit or expiry.
    """
    progress = await fetch_first(
        connection,
        _Progress,
        _ENSURE_SET,
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
