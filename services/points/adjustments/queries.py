"""Reads of imports of adjustments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment
from services.points.adjustments.files import LineResult


@dataclass(frozen=True, slots=True)
class Import:
    """A file of adjustments and how far it is; it is finished when every line is done or refused."""

    id: UUID
    lines: int
    done: int
    refused: int
    created_by: str
    created_at: datetime
    finished_at: datetime | None


async def get_import(connection: Connection, import_id: UUID) -> Import:
    """Returns an import. Raises IMPORT_NOT_FOUND."""
    found = await fetch_first(
        connection,
        Import,
        """
        SELECT id, lines, done, refused, created_by, created_at, finished_at FROM adjustment_imports
        WHERE id = %(id)s
        """,
        id=import_id,
    )
    if found is None:
        raise DomainError("IMPORT_NOT_FOUND", "no such import", adjustment_import_id=import_id)
    return found


IMPORTS = Listing(
    row=Import,
    columns="i.id, i.lines, i.done, i.refused, i.created_by, i.created_at, i.finished_at",
    source="adjustment_imports i",
    filters={"running": "i.finished_at IS NULL", "finished": "i.finished_at IS NOT NULL"},
    keys={"created_at": SortKey("i.created_at", "created_at", parse_moment)},
    key=SortKey("i.id", "id", UUID),
    default_order="created_at desc",
)
"""Imports. Staff make them by hand: there are never so many that their list needs an index."""


async def import_lines(
    connection: Connection, import_id: UUID, *, after: int, limit: int
) -> Sequence[LineResult]:
    """Returns lines of an import after one, in their order, and what became of them."""
    return await fetch_all(
        connection,
        LineResult,
        """
        SELECT line AS number, member_id, delta, reason, outcome, balance_after
        FROM adjustment_import_lines
        WHERE import_id = %(import_id)s AND line > %(after)s
        ORDER BY line
        LIMIT %(limit)s
        """,
        import_id=import_id,
        after=after,
        limit=limit,
    )


async def waiting_lines(
    connection: Connection, import_id: UUID, *, after: int, limit: int
) -> Sequence[LineResult]:
    """Returns lines of an import after one, in their order, that were not settled yet."""
    return await fetch_all(
        connection,
        LineResult,
        """
        SELECT line AS number, member_id, delta, reason, outcome, balance_after
        FROM adjustment_import_lines
        WHERE import_id = %(import_id)s AND line > %(after)s AND outcome IS NULL
        ORDER BY line
        LIMIT %(limit)s
        """,
        import_id=import_id,
        after=after,
        limit=limit,
    )
