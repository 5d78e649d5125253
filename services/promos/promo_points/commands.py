"""Giving promos, changing and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.codes import random_code
from services.common.db import Connection, execute, fetch_value
from services.common.errors import invalid_field, overloaded
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.members import lock_member
from services.promos.promo_points import refusals
from services.promos.promo_points.queries import PromoRow, PromoType, get_promo, lock_promo

_CODE_LENGTH = 12
_TRIES = 10


@dataclass(frozen=True, slots=True)
class NewPromo:
    """What a promo is made of; it starts at once when no start is given."""

    member_id: UUID
    type: PromoType
    description: str
    starts_at: datetime | None
    ends_at: datetime | None
    amount: int
    active: bool


async def create_promo(connection: Connection, *, actor: Caller, new: NewPromo) -> PromoRow:
    """Gives a member a promo and returns it.

    Raises MEMBER_NOT_FOUND, also for staff accounts, MEMBER_CLOSED, and (by constraint) VALIDATION_FAILED for
    a window that ends before it starts.
    """
    await lock_member(connection, new.member_id)
    promo_id = new_id()
    for _ in range(_TRIES):
        made = await fetch_value(
            connection,
            """
            INSERT INTO promos (id, member_id, type, code, description, starts_at, ends_at, amount, active)
            VALUES (
              %(id)s, %(member_id)s, %(type)s, %(code)s, %(description)s,
              coalesce(%(starts_at)s::timestamptz, now()), %(ends_at)s, %(amount)s, %(active)s
            )
            ON CONFLICT (code) DO NOTHING
            RETURNING id
            """,
            id=promo_id,
            code=random_code(_CODE_LENGTH),
            member_id=new.member_id,
            type=new.type,
            description=new.description,
            starts_at=new.starts_at,
            ends_at=new.ends_at,
            amount=new.amount,
            active=new.active,
        )
        if made is not None:
            row = await get_promo(connection, promo_id)
            await audit.record(connection, actor, "promo.created", promo_id, **_audited(row))
            return row
    raise overloaded("codes")


async def update_promo(
    connection: Connection, *, actor: Caller, promo_id: UUID, etag: str, changes: Mapping[str, Any]
) -> PromoRow:
    """Changes the fields of a promo that `changes` names, and returns it.

    Where nothing is different, nothing is audited either. Raises PROMO_NOT_FOUND, ETAG_MISMATCH,
    PROMO_DELETED, MEMBER_CLOSED, PROMO_AMOUNT_BELOW_USED, and VALIDATION_FAILED for a window that ends
    before it starts.
    """
    before = await lock_promo(connection, promo_id)
    require_etag(etag, before.etag, of="promo")
    if before.deleted_at is not None:
        raise refusals.promo_deleted(promo_id)
    await lock_member(connection, before.member_id)
    after = replace(before, **changes)
    if after == before:
        return before
    if after.amount < before.used:
        raise refusals.amount_below_used(promo_id, before.used)
    if after.ends_at is not None and after.ends_at <= after.starts_at:
        raise invalid_field("ends_at", "must lie after starts_at")
    await execute(
        connection,
        """
        UPDATE promos SET
          type = %(type)s, description = %(description)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s,
          amount = %(amount)s, active = %(active)s, version = version + 1
        WHERE id = %(id)s
        """,
        id=promo_id,
        type=after.type,
        description=after.description,
        starts_at=after.starts_at,
        ends_at=after.ends_at,
        amount=after.amount,
        active=after.active,
    )
    was, now = _audited(before), _audited(after)
    different = {field: [was[field], now[field]] for field in now if was[field] != now[field]}
    await audit.record(connection, actor, "promo.updated", promo_id, **different)
    return await get_promo(connection, promo_id)


async def delete_promo(connection: Connection, *, actor: Caller, promo_id: UUID, etag: str) -> None:
    """Ends a promo for good; a repetition does nothing. Its uses stay.

    Raises PROMO_NOT_FOUND, and ETAG_MISMATCH when it is not as the caller read it.
    """
    row = await lock_promo(connection, promo_id)
    if row.deleted_at is not None:
        return
    require_etag(etag, row.etag, of="promo")
    await execute(
        connection,
        "UPDATE promos SET deleted_at = now(), version = version + 1 WHERE id = %(id)s",
        id=promo_id,
    )
    await audit.record(connection, actor, "promo.deleted", promo_id, member_id=row.member_id, used=row.used)


def _audited(row: PromoRow) -> dict[str, Any]:
    """Returns what the audit list has of a promo."""
    return {
        "member_id": row.member_id,
        "type": row.type,
        "description": row.description,
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "amount": row.amount,
        "active": row.active,
    }
