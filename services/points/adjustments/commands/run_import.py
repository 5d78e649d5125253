"""Doing the lines of an import, each in a transaction of its own: it counts once, whatever dies when."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.points.adjustments.commands.adjust_points import Adjustment, move
from services.points.adjustments.files import DONE
from services.points.purchases.purchase import Balance


async def do_line(
    connection: Connection, import_id: UUID, line: int, adjustment: Adjustment
) -> Balance | None:
    """Adjusts as the line says; answers the balance, or None when the line was settled before.

    Refuses as `adjust_points.move` does, and then nothing is settled.
    """
    if not await _settle(connection, import_id, line, DONE):
        return None
    moved = await move(connection, adjustment)
    await _count(connection, import_id, line, done=1, refused=0, balance=moved.now.balance)
    return moved.now


async def refuse_line(connection: Connection, import_id: UUID, line: int, reason: str) -> None:
    """Writes down why the line is refused, unless it was settled before."""
    if await _settle(connection, import_id, line, reason):
        await _count(connection, import_id, line, done=0, refused=1)


async def _settle(connection: Connection, import_id: UUID, line: int, outcome: str) -> bool:
    """Whether this is the transaction that settles the line. Another one that does so is waited for."""
    settled = await connection.execute(
        text(
            "UPDATE adjustment_import_lines SET outcome = :outcome"
            " WHERE import_id = :import_id AND line = :line AND outcome IS NULL RETURNING 1"
        ),
        {"import_id": import_id, "line": line, "outcome": outcome},
    )
    return settled.first() is not None


async def _count(
    connection: Connection, import_id: UUID, line: int, *, done: int, refused: int, balance: int | None = None
) -> None:
    """Last in the transaction, for every line of the import locks this row."""
    await connection.execute(
        text(
            "WITH told AS (UPDATE adjustment_import_lines SET balance_after = :balance"
            " WHERE import_id = :id AND line = :line AND CAST(:balance AS int) IS NOT NULL)"
            " UPDATE adjustment_imports SET done = done + :done, refused = refused + :refused,"
            " finished_at = CASE WHEN done + refused + 1 = lines THEN now() END WHERE id = :id"
        ),
        {"id": import_id, "line": line, "done": done, "refused": refused, "balance": balance},
    )
