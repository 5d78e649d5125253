"""Reads of imports of codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_bigint
from services.promos.code_files.import_files import RefusedLine
from services.promos.code_files.refusals import code_import_not_found


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A file of codes that was taken in; the lines that were not imported were refused."""

    id: UUID
    code_set_id: UUID
    lines: int
    imported: int
    created_by: UUID
    created_role: str
    created_at: datetime


async def get_import(connection: Connection, import_id: UUID) -> ImportRow:
    """Returns an import. Raises CODE_IMPORT_NOT_FOUND."""
    found = await fetch_first(
        connection,
        ImportRow,
        """
        SELECT id, code_set_id, lines, imported, created_by, created_role, created_at FROM code_imports
        WHERE id = %(id)s
        """,
        id=import_id,
    )
    if found is None:
        raise code_import_not_found(import_id)
    return found


IMPORTS = Listing(
    row=ImportRow,
    columns="i.id, i.code_set_id, i.lines, i.imported, i.created_by, i.created_role, i.created_at",
    source="code_imports i",
    filters={"code_set_id": "i.code_set_id = %(code_set_id)s"},
    keys={"id": SortKey("i.id", "id", UUID)},
    key=SortKey("i.id", "id", UUID),
    default_order="id desc",
)
"""Imports into a set; by their ids they are in the order of their making."""

REFUSED_LINES = Listing(
    row=RefusedLine,
    columns="l.line AS number, l.code, l.uses, l.outcome",
    source="code_import_refusals l",
    filters={"import_id": "l.import_id = %(import_id)s"},
    keys={"number": SortKey("l.line", "number", parse_bigint)},
    key=SortKey("l.line", "number", parse_bigint),
    default_order="number",
)
"""The lines of an import that were refused."""
