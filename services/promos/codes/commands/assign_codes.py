"""Giving codes to orders, many in one statement."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_all, fetch_values
from services.common.errors import DomainError
from services.promos.codes import refusals

_SHUFFLE_END = 2**31


@dataclass(frozen=True, slots=True)
class NewAssignment:
    """So many codes of a set for an order's owner; the order is the key."""

    order_id: UUID
    code_set_id: UUID
    owner_member_id: UUID
    quantity: int


Assigned = Sequence[UUID] | DomainError


@dataclass(frozen=True, slots=True)
class _Taken:
    order_id: UUID
    code_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _Kept:
    place: int
    state: str
    same: bool
    code_ids: list[UUID]


async def assign_codes(connection: Connection, orders: Sequence[NewAssignment]) -> list[Assigned]:
    """Gives codes to each order once; returns for each the ids of its codes, always the same, or why not.

    Each order gets all that it asks for or none. A refusal is ORDER_UNDONE, ASSIGNMENT_CONFLICT,
    CODE_SET_NOT_FOUND, or CODES_NOT_READY: what made the set lack codes has queued the job that makes them.
    """
    first = {order.order_id: order for order in reversed(orders)}
    # Takers start at random points, so that they seldom meet; what is not found from there on may lie before.
    start = random.randrange(_SHUFFLE_END)  # noqa: S311  # spreads load, decides nothing
    taken = await _take(connection, list(first.values()), start)
    lacking = [order for order in first.values() if order.order_id not in taken]
    if lacking:
        taken |= await _take(connection, lacking, 0)
    answers: dict[int, Assigned] = {
        place: taken[order.order_id]
        for place, order in enumerate(orders)
        if order.order_id in taken and order == first[order.order_id]
    }
    left = {place: order for place, order in enumerate(orders) if place not in answers}
    answers |= await _assigned_before(connection, left)
    left = {place: order for place, order in left.items() if place not in answers}
    answers |= await _not_ready(connection, left)
    return [answers[place] for place in range(len(orders))]


async def _take(
    connection: Connection, orders: Sequence[NewAssignment], start: int
) -> dict[UUID, Sequence[UUID]]:
    """Gives codes with shuffle >= start to those orders that never came; returns them by order.

    Codes that others are taking are passed over. Orders that want little come first, so that one that wants
    more than there is keeps none of the others waiting. A claim that another call makes in the same moment
    takes no code.
    """
    rows = await fetch_all(
        connection,
        _Taken,
        """
        WITH given AS MATERIALIZED (
          SELECT g.* FROM jsonb_to_recordset(%(orders)s) AS g (
            order_id uuid, code_set_id uuid, owner_member_id uuid, quantity int
          )
          WHERE NOT EXISTS (SELECT FROM assignments a WHERE a.order_id = g.order_id)
        ), picked AS MATERIALIZED (
          SELECT c.id, n.code_set_id
          FROM (SELECT code_set_id, sum(quantity) AS codes FROM given GROUP BY code_set_id) AS n,
          LATERAL (
            SELECT id FROM codes
            WHERE code_set_id = n.code_set_id AND state = 'READY' AND shuffle >= %(start)s
            ORDER BY shuffle LIMIT n.codes
            FOR NO KEY UPDATE SKIP LOCKED
          ) AS c
        ), numbered AS (
          SELECT id, code_set_id, row_number() OVER (PARTITION BY code_set_id ORDER BY id) AS number
          FROM picked
        ), shared AS (
          SELECT *, sum(quantity) OVER (PARTITION BY code_set_id ORDER BY quantity, order_id) AS upto
          FROM given
        ), claimed AS (
          INSERT INTO assignments (order_id, code_set_id, owner_member_id, quantity, state)
          SELECT order_id, code_set_id, owner_member_id, quantity, 'ASSIGNED' FROM shared
          WHERE upto <= (SELECT count(*) FROM picked p WHERE p.code_set_id = shared.code_set_id)
          ORDER BY order_id
          ON CONFLICT (order_id) DO NOTHING
          RETURNING order_id
        ), taken AS (
          UPDATE codes SET
            state = 'ASSIGNED', owner_member_id = g.owner_member_id, order_id = g.order_id,
            assigned_at = now(), expires_at = now() + interval '1 day' * s.valid_days,
            version = codes.version + 1
          FROM claimed
          JOIN shared g USING (order_id)
          JOIN numbered n
            ON n.code_set_id = g.code_set_id AND n.number > g.upto - g.quantity AND n.number <= g.upto
          JOIN code_sets s ON s.id = g.code_set_id
          WHERE codes.id = n.id
          RETURNING codes.id, codes.order_id
        )
        SELECT order_id, array_agg(id ORDER BY id) AS code_ids FROM taken GROUP BY order_id
        """,
        orders=_json([asdict(order) for order in orders]),
        start=start,
    )
    return {row.order_id: row.code_ids for row in rows}


async def _assigned_before(
    connection: Connection, orders: Mapping[int, NewAssignment]
) -> dict[int, Assigned]:
    """Returns the answers to orders that came before, also a moment ago in another call."""
    if not orders:
        return {}
    rows = await fetch_all(
        connection,
        _Kept,
        """
        SELECT
          g.place, a.state,
          (a.code_set_id, a.owner_member_id, a.quantity)
            IS NOT DISTINCT FROM (g.code_set_id, g.owner_member_id, g.quantity) AS same,
          ARRAY(SELECT id FROM codes c WHERE c.order_id = a.order_id ORDER BY id) AS code_ids
        FROM jsonb_to_recordset(%(orders)s) AS g (
          place int, order_id uuid, code_set_id uuid, owner_member_id uuid, quantity int
        )
        JOIN assignments a ON a.order_id = g.order_id
        """,
        orders=_json([{"place": place, **asdict(order)} for place, order in orders.items()]),
    )
    answers: dict[int, Assigned] = {}
    for row in rows:
        order_id = orders[row.place].order_id
        if row.state == "RELEASED":
            answers[row.place] = refusals.order_undone(order_id)
        else:
            answers[row.place] = row.code_ids if row.same else refusals.assignment_conflict(order_id)
    return answers


async def _not_ready(connection: Connection, orders: Mapping[int, NewAssignment]) -> dict[int, Assigned]:
    """Returns why orders got no codes that never came before."""
    if not orders:
        return {}
    known = await fetch_values(
        connection,
        "SELECT id FROM code_sets WHERE id = ANY(%(ids)s)",
        ids=[order.code_set_id for order in orders.values()],
    )
    return {
        place: refusals.codes_not_ready(order.code_set_id)
        if order.code_set_id in known
        else refusals.code_set_not_found(order.code_set_id)
        for place, order in orders.items()
    }


def _json(rows: Sequence[Mapping[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=orjson.dumps)
