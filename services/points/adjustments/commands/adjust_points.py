"""Giving a member points, or taking some, because staff say so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.points.ledger.commands.debit import insufficient_points
from services.points.ledger.commands.move_points import (
    Entry,
    Moved,
    add_lot,
    credit,
    take_oldest,
    write_entry,
)
from services.points.purchases.purchase import Balance

ADJUST = "ADJUST"
_CLOSED = "CLOSED"


@dataclass(frozen=True)
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
    await _refuse_unless_there(connection, adjustment.member_id)
    entry = Entry(ADJUST, adjustment.id, adjustment.reason)
    if adjustment.delta < 0:
        return await _take(connection, adjustment.member_id, -adjustment.delta, entry)
    moved = await credit(connection, adjustment.member_id, adjustment.delta, entry)
    await add_lot(connection, moved, adjustment.expires_at)
    return moved


async def _refuse_unless_there(connection: Connection, member_id: UUID) -> None:
    """Locks what is known of the member, so that the account closes before or after, never in between."""
    found = await connection.execute(
        text("SELECT status FROM members WHERE member_id = :member_id FOR SHARE"), {"member_id": member_id}
    )
    status = found.scalar_one_or_none()
    if status is None:
        raise DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
    if status == _CLOSED:
        raise DomainError("MEMBER_CLOSED", "the member has closed the account")


async def _take(connection: Connection, member_id: UUID, points: int, entry: Entry) -> Moved:
    changed = await connection.execute(
        text(
            "UPDATE accounts SET balance = balance - :points, version = version + 1"
            " WHERE member_id = :member_id AND balance >= :points RETURNING version, balance, debt"
        ),
        {"member_id": member_id, "points": points},
    )
    row = changed.first()
    if row is None:
        raise await insufficient_points(connection, member_id, points)
    await take_oldest(connection, member_id, points)
    return await write_entry(
        connection, Balance(member_id, row.version, row.balance, row.debt), -points, 0, entry
    )
