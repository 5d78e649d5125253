"""Giving codes to an order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.promos import refusals

_SHUFFLE_END = 2**31


async def assign_codes(
    connection: Connection, *, order_id: UUID, code_set_id: UUID, owner_member_id: UUID, quantity: int
) -> Sequence[UUID]:
    """Gives `quantity` codes of the set to the owner, once per order; answers their ids, always the same.

    Raises ORDER_UNDONE, ASSIGNMENT_CONFLICT, CODE_SET_NOT_FOUND, and CODES_NOT_READY, when nothing is
    kept: the codes that a set lacks are being made already, for whoever made it lack them saw to that.
    """
    claim: dict[str, Any] = {
        "order_id": order_id,
        "code_set_id": code_set_id,
        "owner_member_id": owner_member_id,
        "quantity": quantity,
    }
    claimed = await connection.execute(
        text(
            "INSERT INTO assignments (order_id, code_set_id, owner_member_id, quantity, state)"
            " VALUES (:order_id, :code_set_id, :owner_member_id, :quantity, 'ASSIGNED')"
            " ON CONFLICT (order_id) DO NOTHING RETURNING 1"
        ),
        claim,
    )
    if claimed.first() is None:
        return await _assigned_before(connection, claim)
    # Takers start at random points, so that they seldom meet; one that reaches the end goes on from zero.
    start = random.randrange(_SHUFFLE_END)  # noqa: S311  # spreads load, decides nothing
    taken = await _take(connection, claim, quantity, start, _SHUFFLE_END)
    if len(taken) < quantity:
        taken += await _take(connection, claim, quantity - len(taken), 0, start)
    if len(taken) < quantity:
        raise await _not_ready(connection, code_set_id)
    return sorted(taken)


async def _assigned_before(connection: Connection, claim: dict[str, Any]) -> Sequence[UUID]:
    result = await connection.execute(
        text(
            "SELECT state, (code_set_id, owner_member_id, quantity) ="
            " (CAST(:code_set_id AS uuid), CAST(:owner_member_id AS uuid), CAST(:quantity AS int)) AS same"
            " FROM assignments WHERE order_id = :order_id"
        ),
        claim,
    )
    kept = result.one()
    order_id: UUID = claim["order_id"]
    if kept.state == "RELEASED":
        raise refusals.order_undone(order_id)
    if not kept.same:
        raise DomainError("ASSIGNMENT_CONFLICT", "the order has other codes already", order_id=order_id)
    codes = await connection.execute(
        text("SELECT id FROM codes WHERE order_id = :order_id ORDER BY id"), {"order_id": order_id}
    )
    return list(codes.scalars())


async def _take(
    connection: Connection, claim: dict[str, Any], count: int, start: int, end: int
) -> list[UUID]:
    """Up to `count` ready codes with start <= shuffle < end, passing over those that others are taking."""
    result = await connection.execute(
        text(
            "WITH picked AS (SELECT id FROM codes WHERE code_set_id = :code_set_id AND state = 'READY'"
            " AND shuffle >= :start AND shuffle < :end ORDER BY shuffle LIMIT :count"
            " FOR NO KEY UPDATE SKIP LOCKED)"
            " UPDATE codes SET state = 'ASSIGNED', owner_member_id = :owner_member_id, order_id = :order_id,"
            " assigned_at = now() FROM picked WHERE codes.id = picked.id RETURNING codes.id"
        ),
        {**claim, "count": count, "start": start, "end": end},
    )
    return list(result.scalars())


async def _not_ready(connection: Connection, code_set_id: UUID) -> DomainError:
    known = await connection.execute(text("SELECT 1 FROM code_sets WHERE id = :id"), {"id": code_set_id})
    if known.first() is None:
        return DomainError("CODE_SET_NOT_FOUND", "no such set of codes", code_set_id=code_set_id)
    return DomainError(
        "CODES_NOT_READY", "codes are still being made; ask again", retry_after=1.0, code_set_id=code_set_id
    )
