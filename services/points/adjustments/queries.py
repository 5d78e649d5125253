"""Reads of imports of adjustments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page
from services.points.adjustments.files import LineResult


@dataclass(frozen=True)
class ImportRow:
    """An import and how far it is; it is finished when every line is done or refused."""

    id: UUID
    lines: int
    done: int
    refused: int
    created_by: str
    created_at: datetime
    finished_at: datetime | None


_IMPORT = "SELECT id, lines, done, refused, created_by, created_at, finished_at FROM adjustment_imports"


async def get_import(connection: Connection, import_id: UUID) -> ImportRow:
    """An import. Raises IMPORT_NOT_FOUND."""
    row = (await connection.execute(text(f"{_IMPORT} WHERE id = :id"), {"id": import_id})).first()
    if row is None:
        raise DomainError("IMPORT_NOT_FOUND", "no such import", import_id=import_id)
    return ImportRow(*row)


async def list_imports(
    connection: Connection, page: Page, *, finished: bool | None
) -> tuple[Sequence[ImportRow], str]:
    """A page of the imports, the newest first; `finished` of None is all."""
    result = await connection.execute(
        text(
            f"{_IMPORT} WHERE (CAST(:after AS uuid) IS NULL OR id < :after)"
            " AND (CAST(:finished AS boolean) IS NULL OR (finished_at IS NOT NULL) = :finished)"
            " ORDER BY id DESC LIMIT :limit"
        ),
        {"after": page.after(UUID), "finished": finished, "limit": page.size + 1},
    )
    return page.cut([ImportRow(*row) for row in result], lambda row: row.id)


async def import_lines(
    connection: Connection, import_id: UUID, *, after: int, limit: int
) -> Sequence[LineResult]:
    """Lines of an import after one, in their order, and what became of them."""
    return await _lines(connection, "", import_id, after, limit)


async def waiting_lines(
    connection: Connection, import_id: UUID, *, after: int, limit: int
) -> Sequence[LineResult]:
    """Lines of an import after one, in their order, that nobody has done yet."""
    return await _lines(connection, " AND outcome IS NULL", import_id, after, limit)


async def _lines(
    connection: Connection, condition: str, import_id: UUID, after: int, limit: int
) -> Sequence[LineResult]:
    result = await connection.execute(
        text(
            "SELECT line, member_id, delta, reason, outcome, balance_after FROM adjustment_import_lines"  # noqa: S608
            f" WHERE import_id = :import_id AND line > :after{condition} ORDER BY line LIMIT :limit"
        ),
        {"import_id": import_id, "after": after, "limit": limit},
    )
    return [LineResult(*row) for row in result]
