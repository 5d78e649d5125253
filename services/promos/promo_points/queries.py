"""Reads of promos and their uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.lists import Listing, SortKey, parse_moment
from services.promos.promo_points.refusals import promo_not_found

PromoType = Literal["WELCOME", "BIRTHDAY", "LOYALTY", "COMPENSATION", "OTHER"]
PromoState = Literal[
    "USABLE", "SCHEDULED", "USED_UP", "EXPIRED", "INACTIVE", "DELETED", "FORFEITED", "ON_HOLD"
]

_MOST_USABLE = 50


@dataclass(frozen=True, slots=True)
class PromoRow:
    """A promo."""

    id: UUID
    member_id: UUID
    type: PromoType
    code: str
    description: str
    starts_at: datetime
    ends_at: datetime | None
    amount: int
    used: int
    active: bool
    state: PromoState
    version: int
    created_at: datetime
    deleted_at: datetime | None

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class PromoUseRow:
    """What a use took from one promo."""

    id: UUID
    promo_id: UUID
    amount: int
    remaining: int
    used_at: datetime
    used_by: UUID
    used_by_role: str
    till_number: str
    sale_reference: str | None
    cancelled_at: datetime | None


STATE = SQL(
    """
    CASE
      WHEN p.deleted_at IS NOT NULL THEN 'DELETED'
      WHEN EXISTS (
        SELECT FROM members m WHERE m.member_id = p.member_id AND m.status = 'CLOSED'
      ) THEN 'FORFEITED'
      WHEN NOT p.active THEN 'INACTIVE'
      WHEN p.ends_at <= now() THEN 'EXPIRED'
      WHEN p.used = p.amount THEN 'USED_UP'
      WHEN p.starts_at > now() THEN 'SCHEDULED'
      WHEN EXISTS (
        SELECT FROM members m WHERE m.member_id = p.member_id AND m.status = 'SUSPENDED'
      ) THEN 'ON_HOLD'
      ELSE 'USABLE'
    END
    """
)
"""Whether points of a promo `p` can be used now: a PromoState."""

PROMO = SQL(
    """
    p.id, p.member_id, p.type, p.code, p.description, p.starts_at, p.ends_at, p.amount, p.used, p.active,
    {state} AS state, p.version, p.created_at, p.deleted_at
    """
).format(state=STATE)
"""The columns of a promo `p` that PromoRow is made of."""

PROMO_LIST = Listing(
    row=PromoRow,
    columns=PROMO,
    source="promos p",
    filters={
        "member_id": "p.member_id = %(member_id)s",
        "type": "p.type = %(type)s",
        "state": SQL("{state} = %(state)s").format(state=STATE),
        "not_deleted": "p.deleted_at IS NULL",
    },
    keys={"created_at": SortKey("p.created_at", "created_at", parse_moment)},
    key=SortKey("p.id", "id", UUID),
    default_order="created_at desc",
)
"""All promos. Staff give them one by one, so a state, which changes with time, needs no index."""

_PROMO_BY_ID = SQL(
    """
    SELECT {promo} FROM promos p
    WHERE p.id = %(id)s AND (%(member_id)s::uuid IS NULL OR p.member_id = %(member_id)s)
    """
).format(promo=PROMO)


async def get_promo(connection: Connection, promo_id: UUID, *, member_id: UUID | None = None) -> PromoRow:
    """Returns a promo; with `member_id`, only one of this member's. Raises PROMO_NOT_FOUND."""
    found = await fetch_first(connection, PromoRow, _PROMO_BY_ID, id=promo_id, member_id=member_id)
    if found is None:
        raise promo_not_found(promo_id)
    return found


_LOCKED_PROMO = SQL("SELECT {promo} FROM promos p WHERE p.id = %(id)s FOR NO KEY UPDATE").format(promo=PROMO)


async def lock_promo(connection: Connection, promo_id: UUID) -> PromoRow:
    """Returns a promo that nobody else changes until the commit. Raises PROMO_NOT_FOUND."""
    found = await fetch_first(connection, PromoRow, _LOCKED_PROMO, id=promo_id)
    if found is None:
        raise promo_not_found(promo_id)
    return found


@dataclass(frozen=True, slots=True)
class UsablePromo:
    """A promo whose points can be used now; `in_all` is how many can be of all the member's promos."""

    description: str
    remaining: int
    ends_at: datetime | None
    in_all: int


_USABLE_PROMOS = SQL(
    """
    SELECT
      p.description, p.amount - p.used AS remaining, p.ends_at,
      (sum(p.amount - p.used) OVER ())::bigint AS in_all
    FROM promos p
    WHERE p.member_id = %(member_id)s AND {state} = 'USABLE'
    ORDER BY p.ends_at NULLS LAST, p.id
    LIMIT %(limit)s
    """
).format(state=STATE)


async def usable_promos(connection: Connection, member_id: UUID) -> Sequence[UsablePromo]:
    """Returns the promos whose points a member can use now, what ends first first, 50 at most."""
    return await fetch_all(connection, UsablePromo, _USABLE_PROMOS, member_id=member_id, limit=_MOST_USABLE)


_USE = SQL(
    """
    u.id, t.promo_id, t.amount, t.remaining, u.used_at, u.caller_id AS used_by,
    u.caller_role AS used_by_role, u.till_number, u.sale_reference, u.cancelled_at
    """
)

USE_LIST = Listing(
    row=PromoUseRow,
    columns=_USE,
    source="promo_use_parts t JOIN promo_uses u ON u.id = t.promo_use_id",
    filters={"promo_id": "t.promo_id = %(promo_id)s"},
    keys={"id": SortKey("t.promo_use_id", "id", UUID)},
    key=SortKey("t.promo_use_id", "id", UUID),
    default_order="id desc",
)
"""The uses of one promo, which must be named; their ids grow with time."""

_PARTS = SQL(
    """
    SELECT {use} FROM promo_uses u JOIN promo_use_parts t ON t.promo_use_id = u.id
    WHERE u.id = %(id)s ORDER BY t.promo_id
    """
).format(use=_USE)


async def parts_of_use(connection: Connection, promo_use_id: UUID) -> Sequence[PromoUseRow]:
    """Returns what a use took, promo by promo; none for a use that is not known."""
    return await fetch_all(connection, PromoUseRow, _PARTS, id=promo_use_id)
