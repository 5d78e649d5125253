"""Applying the lines of an import, each in its own transaction: each counts once, also after a crash."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Connection, execute
from services.points.adjustments.commands.adjust_points import Adjustment, move
from services.points.adjustments.files import DONE


async def do_line(connection: Connection, import_id: UUID, line: int, adjustment: Adjustment) -> None:
    """Adjusts by the line, unless it was settled before.

    Refuses as `adjust_points.move` does, and then nothing is settled.
    """
    if await _settle(connection, import_id, line, DONE):
        moved = await move(connection, adjustment)
        await _count(connection, import_id, line, done=1, refused=0, balance=moved.now.balance)


async def refuse_line(connection: Connection, import_id: UUID, line: int, reason: str) -> None:
    """Writes down why the line is refused, unless it was settled before."""
    if await _settle(connection, import_id, line, reason):
        await _count(connection, import_id, line, done=0, refused=1)


async def _settle(connection: Connection, import_id: UUID, line: int, outcome: str) -> bool:
    """Returns whether this transaction settles the line. Another one that does so is waited for."""
    settled = await execute(
        connection,
        """
        UPDATE adjustment_import_lines SET outcome = %(outcome)s
        WHERE import_id = %(import_id)s AND line = %(line)s AND outcome IS NULL
        """,
        import_id=import_id,
        line=line,
        outcome=outcome,
    )
    return settled > 0


async def _count(
    connection: Connection, import_id: UUID, line: int, *, done: int, refused: int, balance: int | None = None
) -> None:
    """Last in the transaction, for every line of the import locks this row."""
    await execute(
        connection,
        """
        WITH settled AS (
          UPDATE adjustment_import_lines SET balance_after = %(balance)s::int
          WHERE import_id = %(id)s AND line = %(line)s AND %(balance)s::int IS NOT NULL
        )
        UPDATE adjustment_imports SET
          done = done + %(done)s,
          refused = refused + %(refused)s,
          finished_at = CASE WHEN done + refused + 1 = lines THEN now() END
        WHERE id = %(id)s
        """,
        id=import_id,
        line=line,
        done=done,
        refused=refused,
        balance=balance,
    )
