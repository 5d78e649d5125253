"""Taking in a file of adjustments."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from services.common import audit, jobs
from services.common.caller import Caller
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.points.adjustments.files import NOT_VALID, Line
from services.points.adjustments.queries import ImportRow, get_import

IMPORT_JOB = "run_import"
IMPORT_QUEUE = "imports"


async def create_import(connection: Connection, *, actor: Caller, lines: Sequence[Line]) -> ImportRow:
    """Keeps the lines and has those that can be done done; the others are refused at once."""
    import_id, refused = new_id(), sum(not line.valid for line in lines)
    await connection.execute(
        text(
            "INSERT INTO adjustment_imports (id, lines, refused, created_by, created_role, finished_at)"
            " VALUES (:id, :lines, :refused, :actor, :role, CASE WHEN :refused = :lines THEN now() END)"
        ),
        {
            "id": import_id,
            "lines": len(lines),
            "refused": refused,
            "actor": actor.subject,
            "role": actor.role,
        },
    )
    await connection.execute(
        text(
            "INSERT INTO adjustment_import_lines (import_id, line, member_id, delta, reason, outcome)"
            " SELECT :id, * FROM unnest(CAST(:numbers AS int[]), CAST(:members AS text[]),"
            " CAST(:deltas AS text[]), CAST(:reasons AS text[]), CAST(:outcomes AS text[]))"
        ),
        {
            "id": import_id,
            "numbers": [line.number for line in lines],
            "members": [line.member_id for line in lines],
            "deltas": [line.delta for line in lines],
            "reasons": [line.reason for line in lines],
            "outcomes": [None if line.valid else NOT_VALID for line in lines],
        },
    )
    await audit.record(connection, actor, "points.import_created", import_id, lines=len(lines))
    if refused < len(lines):
        await jobs.defer(connection, IMPORT_JOB, queue=IMPORT_QUEUE, import_id=str(import_id))
    return await get_import(connection, import_id)
