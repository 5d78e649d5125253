"""Taking in files of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.promos.code_files.import_files import CodeFile, RefusedLine, refuse
from services.promos.code_files.queries import ImportRow, get_import
from services.promos.codes import import_codes


@dataclass(frozen=True, slots=True)
class Taken:
    """An import; `elsewhere` is how many of its codes exist in other sets."""

    row: ImportRow
    elsewhere: int


async def create_import(connection: Connection, *, actor: Caller, code_set_id: UUID, file: CodeFile) -> Taken:
    """Adds the codes of a file to a set and keeps what became of each refused line.

    Raises CODE_SET_NOT_FOUND, CODE_SET_WRONG_PURPOSE and CODE_SET_FULL, when nothing is taken.
    """
    import_id = new_id()
    imported = await import_codes(connection, code_set_id, list(file.codes), import_id=import_id)
    there = imported.here | imported.elsewhere
    refused = [refuse(line, "EXISTS") for code, line in file.codes.items() if code.code in there]
    await execute(
        connection,
        """
        INSERT INTO code_imports (id, code_set_id, lines, imported, created_by, created_role)
        VALUES (%(id)s, %(code_set_id)s, %(lines)s, %(imported)s, %(actor)s, %(role)s)
        """,
        id=import_id,
        code_set_id=code_set_id,
        lines=file.lines,
        imported=imported.made,
        actor=actor.id,
        role=actor.role,
    )
    await _keep_refused(connection, import_id, [*file.refused, *refused])
    details = {"code_import_id": import_id, "lines": file.lines, "imported": imported.made}
    await audit.record(
        connection, actor, "codes.imported", code_set_id, **details, elsewhere=len(imported.elsewhere)
    )
    return Taken(await get_import(connection, import_id), len(imported.elsewhere))


async def _keep_refused(connection: Connection, import_id: UUID, lines: Sequence[RefusedLine]) -> None:
    await execute(
        connection,
        """
        INSERT INTO code_import_refusals (import_id, line, code, uses, outcome)
        SELECT %(id)s, l.number, l.code, l.uses, l.outcome
        FROM unnest(%(numbers)s::int[], %(codes)s::text[], %(uses)s::text[], %(outcomes)s::text[])
          AS l (number, code, uses, outcome)
        """,
        id=import_id,
        numbers=[line.number for line in lines],
        codes=[line.code for line in lines],
        uses=[line.uses for line in lines],
        outcomes=[line.outcome for line in lines],
    )


async def record_look(connection: Connection, actor: Caller, action: str, code_set_id: UUID) -> None:
    """Keeps an audit entry that staff were handed the codes of a set, which are worth money."""
    await audit.record(connection, actor, action, code_set_id)
