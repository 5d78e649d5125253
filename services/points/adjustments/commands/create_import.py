"""Taking in a file of adjustments."""

from __future__ import annotations

from collections.abc import Sequence

from services.common import audit, jobs
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.points.adjustments.files import NOT_VALID, FileLine
from services.points.adjustments.queries import Import, get_import

IMPORT_JOB = "run_import"
IMPORT_QUEUE = "imports"


async def create_import(connection: Connection, *, actor: Caller, lines: Sequence[FileLine]) -> Import:
    """Keeps the lines, and has those done that can be; the others are refused at once."""
    import_id, refused = new_id(), sum(not line.valid for line in lines)
    await execute(
        connection,
        """
        INSERT INTO adjustment_imports (id, lines, refused, created_by, created_role, finished_at)
        VALUES (
          %(id)s, %(lines)s, %(refused)s, %(actor)s, %(role)s,
          CASE WHEN %(refused)s = %(lines)s THEN now() END
        )
        """,
        id=import_id,
        lines=len(lines),
        refused=refused,
        actor=actor.subject,
        role=actor.role,
    )
    await execute(
        connection,
        """
        INSERT INTO adjustment_import_lines (import_id, line, member_id, delta, reason, outcome)
        SELECT %(id)s, l.number, l.member, l.delta, l.reason, l.outcome
        FROM unnest(
          %(numbers)s::int[], %(members)s::text[], %(deltas)s::text[], %(reasons)s::text[],
          %(outcomes)s::text[]
        ) AS l (number, member, delta, reason, outcome)
        """,
        id=import_id,
        numbers=[line.number for line in lines],
        members=[line.member_id for line in lines],
        deltas=[line.delta for line in lines],
        reasons=[line.reason for line in lines],
        outcomes=[None if line.valid else NOT_VALID for line in lines],
    )
    await audit.record(connection, actor, "points.import_created", import_id, lines=len(lines))
    if refused < len(lines):
        await jobs.defer(connection, IMPORT_JOB, queue=IMPORT_QUEUE, import_id=str(import_id))
    return await get_import(connection, import_id)
