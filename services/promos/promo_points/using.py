"""Using promo points, and giving them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

from psycopg.sql import SQL

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError, overloaded
from services.common.ids import new_id
from services.promos.promo_points import refusals
from services.promos.promo_points.queries import STATE, PromoRow, PromoUseRow, get_promo, parts_of_use

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale at a till, which uses promo points once; `request_hash` is a fingerprint of what it asks for."""

    reference: str
    till_number: str
    request_hash: bytes


_USE = SQL(
    """
    WITH used AS (
      UPDATE promos p SET used = p.used + %(amount)s
      WHERE p.id = %(promo_id)s AND p.member_id = %(member_id)s AND {state} = 'USABLE'
        AND p.used + %(amount)s <= p.amount
      RETURNING p.id, p.amount - p.used AS remaining
    ), noted AS (
      INSERT INTO promo_uses (id, member_id, caller_id, caller_role)
      SELECT %(use_id)s, %(member_id)s, %(member_id)s, %(role)s FROM used
      RETURNING id, used_at
    ), part AS (
      INSERT INTO promo_use_parts (promo_use_id, promo_id, amount, remaining)
      SELECT %(use_id)s, id, %(amount)s, remaining FROM used
    )
    SELECT
      noted.id, used.id AS promo_id, %(amount)s::bigint AS amount, used.remaining, noted.used_at,
      %(member_id)s::uuid AS used_by, %(role)s::text AS used_by_role, '' AS till_number,
      NULL AS sale_reference, NULL AS cancelled_at
    FROM noted, used
    """
).format(state=STATE)


async def use_promo(connection: Connection, *, actor: Caller, promo_id: UUID, amount: int) -> PromoUseRow:
    """Uses points of one of the caller's promos, and returns what was used and what is left.

    Raises PROMO_NOT_FOUND, PROMO_DELETED, PROMO_NOT_ACTIVE, PROMO_NOT_STARTED, PROMO_EXPIRED,
    PROMO_POINTS_INSUFFICIENT, ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    for _ in range(_TRIES):
        used = await fetch_first(
            connection,
            PromoUseRow,
            _USE,
            use_id=new_id(),
            promo_id=promo_id,
            member_id=actor.id,
            role=actor.role,
            amount=amount,
        )
        if used is not None:
            return used
        # Raises the reason, unless points were given back in between.
        _require_usable(await get_promo(connection, promo_id, member_id=actor.id), amount)
    raise overloaded("promo points")


def _require_usable(promo: PromoRow, amount: int) -> None:
    """Raises why the points can not be used, if they can not."""
    match promo.state:
        case "DELETED":
            raise refusals.promo_deleted(promo.id)
        case "FORFEITED":
            raise DomainError("ACCOUNT_CLOSED", "the account is closed")
        case "INACTIVE":
            raise refusals.promo_not_active(promo.id)
        case "EXPIRED":
            assert promo.ends_at is not None, "what expired had an end"
            raise refusals.promo_expired(promo.id, promo.ends_at)
        case "SCHEDULED":
            raise refusals.promo_not_started(promo.id, promo.starts_at)
        case "ON_HOLD":
            raise DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
        case "USED_UP" | "USABLE":
            if promo.amount - promo.used < amount:
                raise refusals.promo_points_insufficient(promo.amount - promo.used)
        case _:
            assert_never(promo.state)


@dataclass(frozen=True, slots=True)
class _Kept:
    id: UUID
    same: bool
    cancelled_at: datetime | None


async def used_before(connection: Connection, *, actor: Caller, sale: Sale) -> Sequence[PromoUseRow]:
    """Returns what a sale has used already; nothing when it has not.

    Raises PROMO_USE_CONFLICT when it asked for something else then, and PROMO_USE_CANCELLED.
    """
    kept = await fetch_first(
        connection,
        _Kept,
        """
        SELECT id, request_hash = %(request_hash)s AS same, cancelled_at FROM promo_uses
        WHERE sale_reference = %(reference)s AND caller_id = %(caller_id)s AND till_number = %(till_number)s
        """,
        reference=sale.reference,
        caller_id=actor.id,
        till_number=sale.till_number,
        request_hash=sale.request_hash,
    )
    if kept is None:
        return []
    if not kept.same:
        raise refusals.promo_use_conflict(kept.id)
    if kept.cancelled_at is not None:
        raise refusals.promo_use_cancelled(kept.id)
    return await parts_of_use(connection, kept.id)


@dataclass(frozen=True, slots=True)
class _Usable:
    id: UUID
    remaining: int


async def use_for_sale(
    connection: Connection,
    *,
    actor: Caller,
    member_id: UUID,
    signed_code_id: str | None,
    amount: int,
    sale: Sale,
) -> Sequence[PromoUseRow]:
    """Uses points of a member's promos for a sale, once: of the one that ends first, then of the next.

    Raises PROMO_POINTS_INSUFFICIENT, MEMBER_CODE_REPLAYED (by constraint), and what `used_before` does.
    """
    use_id = new_id()
    claimed = await fetch_value(
        connection,
        """
        INSERT INTO promo_uses (
          id, member_id, caller_id, caller_role, till_number, sale_reference, request_hash, signed_code_id
        )
        VALUES (
          %(id)s, %(member_id)s, %(caller_id)s, %(role)s, %(till_number)s, %(reference)s, %(request_hash)s,
          %(signed_code_id)s
        )
        ON CONFLICT ON CONSTRAINT uq_promo_uses_sale DO NOTHING
        RETURNING id
        """,
        id=use_id,
        member_id=member_id,
        caller_id=actor.id,
        role=actor.role,
        till_number=sale.till_number,
        reference=sale.reference,
        request_hash=sale.request_hash,
        signed_code_id=signed_code_id,
    )
    if claimed is None:
        return await used_before(connection, actor=actor, sale=sale)
    usable = await _lock_usable(connection, member_id)
    available = sum(promo.remaining for promo in usable)
    if available < amount:
        raise refusals.promo_points_insufficient(available)
    taken: list[tuple[UUID, int]] = []
    for promo in usable:
        part = min(promo.remaining, amount - sum(part for _, part in taken))
        if part:
            taken.append((promo.id, part))
    await execute(
        connection,
        """
        WITH used AS (
          UPDATE promos p SET used = p.used + t.amount
          FROM unnest(%(ids)s::uuid[], %(amounts)s::bigint[]) AS t (id, amount)
          WHERE p.id = t.id
          RETURNING p.id, t.amount, p.amount - p.used AS remaining
        )
        INSERT INTO promo_use_parts (promo_use_id, promo_id, amount, remaining)
        SELECT %(use_id)s, id, amount, remaining FROM used
        """,
        use_id=use_id,
        ids=[promo_id for promo_id, _ in taken],
        amounts=[part for _, part in taken],
    )
    if actor.is_staff:
        details = {"member_id": member_id, "amount": amount, "sale_reference": sale.reference}
        await audit.record(connection, actor, "promo_points.used", use_id, **details)
    return await parts_of_use(connection, use_id)


_USABLE = SQL(
    """
    SELECT p.id, p.amount - p.used AS remaining FROM promos p
    WHERE p.member_id = %(member_id)s AND {state} = 'USABLE'
    ORDER BY p.ends_at NULLS LAST, p.id
    FOR NO KEY UPDATE
    """
).format(state=STATE)


async def _lock_usable(connection: Connection, member_id: UUID) -> Sequence[_Usable]:
    """Returns the promos that a member can use now, locked, what ends first first."""
    # Locked in the order of their ids, as everybody locks several.
    await execute(
        connection,
        """
        SELECT FROM promos WHERE member_id = %(member_id)s AND used < amount AND deleted_at IS NULL
        ORDER BY id FOR NO KEY UPDATE
        """,
        member_id=member_id,
    )
    return await fetch_all(connection, _Usable, _USABLE, member_id=member_id)


async def cancel_use(connection: Connection, *, actor: Caller, promo_use_id: UUID) -> Sequence[PromoUseRow]:
    """Gives back what was used, once; a repetition returns the same. A till cancels its own, staff any.

    Raises PROMO_USE_NOT_FOUND.
    """
    caller_id = None if actor.is_staff else actor.id
    known = await fetch_value(
        connection,
        """
        SELECT true FROM promo_uses
        WHERE id = %(id)s AND (%(caller_id)s::uuid IS NULL OR caller_id = %(caller_id)s)
        FOR NO KEY UPDATE
        """,
        id=promo_use_id,
        caller_id=caller_id,
    )
    if known is None:
        raise refusals.promo_use_not_found(promo_use_id)
    await execute(
        connection,
        """
        SELECT FROM promos p JOIN promo_use_parts t ON t.promo_id = p.id
        WHERE t.promo_use_id = %(id)s ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        id=promo_use_id,
    )
    given_back = await execute(
        connection,
        """
        WITH cancelled AS (
          UPDATE promo_uses SET cancelled_at = now(), cancelled_by = %(by)s, cancelled_by_role = %(role)s
          WHERE id = %(id)s AND cancelled_at IS NULL
          RETURNING id
        )
        UPDATE promos p SET used = p.used - t.amount
        FROM cancelled JOIN promo_use_parts t ON t.promo_use_id = cancelled.id
        WHERE p.id = t.promo_id
        """,
        id=promo_use_id,
        by=actor.id,
        role=actor.role,
    )
    if given_back and actor.is_staff:
        await audit.record(connection, actor, "promo_points.given_back", promo_use_id)
    return await parts_of_use(connection, promo_use_id)
