"""Giving a member points, or taking some, as staff decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection
from services.common.members import lock_member
from services.points.ledger import Entry, EntryKind, Moved, add_lot, credit, take


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Points to give, or to take when `delta` is negative, and why; `id` is the entry's reference.

    `expires_at` is when points that are given expire, or None for never.
    """

    id: str
    member_id: UUID
    delta: int
    reason: str
    expires_at: datetime | None


async def adjust_points(connection: Connection, *, actor: Caller, adjustment: Adjustment) -> Moved:
    """Adjusts a member's points and leaves an audit row. Refuses as `move` does."""
    moved = await move(connection, adjustment)
    await audit.record(
        connection,
        actor,
        "points.adjusted",
        adjustment.member_id,
        adjustment_id=adjustment.id,
        delta=adjustment.delta,
        reason=adjustment.reason,
    )
    return moved


async def move(connection: Connection, adjustment: Adjustment) -> Moved:
    """Moves the points; never below zero.

    Raises MEMBER_NOT_FOUND, MEMBER_CLOSED, INSUFFICIENT_POINTS, and BALANCE_LIMIT_REACHED (by constraint).
    """
    await lock_member(connection, adjustment.member_id)
    entry = Entry(EntryKind.ADJUST, adjustment.id, adjustment.reason)
    if adjustment.delta < 0:
        return await take(connection, adjustment.member_id, -adjustment.delta, entry)
    moved = await credit(connection, adjustment.member_id, adjustment.delta, entry)
    await add_lot(connection, moved, adjustment.expires_at)
    return moved
