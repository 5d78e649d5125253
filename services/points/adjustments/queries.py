"""Reads of imports of adjustments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first
from services.common.errors import DomainError
from services.common.paging import Page
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
        raise DomainError("IMPORT_NOT_FOUND", "no such import", import_id=import_id)
    return found


async def list_imports(
    connection: Connection, page: Page, *, finished: bool | None
) -> tuple[Sequence[Import], str]:
    """Returns a page of the imports, the newest first; `finished` of None is all."""
    rows = await fetch_all(
        connection,
        Import,
        """
        SELECT id, lines, done, refused, created_by, created_at, finished_at FROM adjustment_imports
        WHERE (%(after)s::uuid IS NULL OR id < %(after)s::uuid)
          AND (%(finished)s::boolean IS NULL OR (finished_at IS NOT NULL) = %(finished)s::boolean)
        ORDER BY id DESC
        LIMIT %(limit)s
        """,
        after=page.after(UUID),
        finished=finished,
        limit=page.size + 1,
    )
    return page.cut(rows, lambda row: row.id)


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
