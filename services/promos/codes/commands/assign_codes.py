"""Giving codes to an order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_one, fetch_value, fetch_values
from services.promos.codes import refusals

_SHUFFLE_END = 2**31


@dataclass(frozen=True, slots=True)
class _Assigned:
    claimed: bool
    code_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _Kept:
    state: str
    same: bool


async def assign_codes(
    connection: Connection, *, order_id: UUID, code_set_id: UUID, owner_member_id: UUID, quantity: int
) -> Sequence[UUID]:
    """Gives `quantity` codes of the set to the owner, once per order; returns their ids, always the same.

    Raises ORDER_UNDONE, ASSIGNMENT_CONFLICT, CODE_SET_NOT_FOUND, and CODES_NOT_READY, when nothing is
    kept: what made the set lack codes has queued the job that makes them.
    """
    claim = {
        "order_id": order_id,
        "code_set_id": code_set_id,
        "owner_member_id": owner_member_id,
        "quantity": quantity,
    }
    # Takers start at random points, so that they seldom meet; one that reaches the end goes on from zero.
    start = random.randrange(_SHUFFLE_END)  # noqa: S311  # spreads load, decides nothing
    assigned = await fetch_one(
        connection,
        _Assigned,
        """
        WITH claimed AS (
          INSERT INTO assignments (order_id, code_set_id, owner_member_id, quantity, state)
          VALUES (%(order_id)s, %(code_set_id)s, %(owner_member_id)s, %(quantity)s, 'ASSIGNED')
          ON CONFLICT (order_id) DO NOTHING
          RETURNING order_id
        ), picked AS (
          SELECT id FROM codes
          WHERE code_set_id = %(code_set_id)s AND state = 'READY' AND shuffle >= %(start)s
            AND EXISTS (SELECT FROM claimed)
          ORDER BY shuffle LIMIT %(quantity)s
          FOR NO KEY UPDATE SKIP LOCKED
        ), taken AS (
          UPDATE codes SET
            state = 'ASSIGNED', owner_member_id = %(owner_member_id)s, order_id = %(order_id)s,
            assigned_at = now(), version = version + 1
          FROM picked WHERE codes.id = picked.id
          RETURNING codes.id
        )
        SELECT EXISTS (SELECT FROM claimed) AS claimed, ARRAY(SELECT id FROM taken) AS code_ids
        """,
        start=start,
        **claim,
    )
    if not assigned.claimed:
        return await _assigned_before(connection, claim)
    taken = assigned.code_ids
    if len(taken) < quantity:
        taken += await _take_below(connection, claim, quantity - len(taken), start)
    if len(taken) < quantity:
        if await fetch_value(connection, "SELECT true FROM code_sets WHERE id = %(id)s", id=code_set_id):
            raise refusals.codes_not_ready(code_set_id)
        raise refusals.code_set_not_found(code_set_id)
    return sorted(taken)


async def _assigned_before(connection: Connection, claim: dict[str, Any]) -> Sequence[UUID]:
    kept = await fetch_one(
        connection,
        _Kept,
        """
        SELECT
          state,
          (code_set_id, owner_member_id, quantity)
            IS NOT DISTINCT FROM (%(code_set_id)s::uuid, %(owner_member_id)s::uuid, %(quantity)s::int) AS same
        FROM assignments WHERE order_id = %(order_id)s
        """,
        **claim,
    )
    order_id: UUID = claim["order_id"]
    if kept.state == "RELEASED":
        raise refusals.order_undone(order_id)
    if not kept.same:
        raise refusals.assignment_conflict(order_id)
    return await fetch_values(
        connection, "SELECT id FROM codes WHERE order_id = %(order_id)s ORDER BY id", order_id=order_id
    )


async def _take_below(connection: Connection, claim: dict[str, Any], count: int, end: int) -> list[UUID]:
    """Takes up to `count` ready codes with shuffle < end, passing over those that others are taking."""
    return await fetch_values(
        connection,
        """
        WITH picked AS (
          SELECT id FROM codes
          WHERE code_set_id = %(code_set_id)s AND state = 'READY' AND shuffle < %(end)s
          ORDER BY shuffle LIMIT %(count)s
          FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE codes SET
          state = 'ASSIGNED', owner_member_id = %(owner_member_id)s, order_id = %(order_id)s,
          assigned_at = now(), version = version + 1
        FROM picked WHERE codes.id = picked.id
        RETURNING codes.id
        """,
        count=count,
        end=end,
        code_set_id=claim["code_set_id"],
        owner_member_id=claim["owner_member_id"],
        order_id=claim["order_id"],
    )
