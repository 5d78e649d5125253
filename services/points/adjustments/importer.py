"""Doing imports of adjustments in the background."""

from __future__ import annotations

import logging
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError, UnforeseenError
from services.common.ids import utc_now
from services.points.adjustments.commands.adjust_points import Adjustment
from services.points.adjustments.commands.run_import import do_line, refuse_line
from services.points.adjustments.files import LineResult
from services.points.adjustments.queries import waiting_lines
from services.points.balances import Balances
from services.points.programme import Programme

log = logging.getLogger(__name__)

_AT_A_TIME = 200
_PASSING = frozenset({"DEPENDENCY_UNAVAILABLE", "OVERLOADED"})
"""Not the line's fault: the job ends, and is tried again."""


class Importer:
    """Does the lines of imports, one after the other."""

    def __init__(self, db: Database, balances: Balances, programme: Programme) -> None:
        self._db = db
        self._balances = balances
        self._programme = programme

    async def run(self, import_id: str) -> None:
        """Does every line that is not settled; may be run again, also while it runs."""
        after, one = 0, UUID(import_id)
        while lines := await self._db.read(waiting_lines, one, after=after, limit=_AT_A_TIME):
            for line in lines:
                await self._do(one, line)
            after = lines[-1].number

    async def _do(self, import_id: UUID, line: LineResult) -> None:
        adjustment = Adjustment(
            f"{import_id}:{line.number}",
            UUID(line.member_id),
            int(line.delta),
            line.reason,
            self._programme.expiry(utc_now()),
        )
        try:
            await self._db.run(do_line, import_id, line.number, adjustment)
        except DomainError as error:
            if error.reason in _PASSING:
                raise
            await self._db.run(refuse_line, import_id, line.number, error.reason)
            return
        except UnforeseenError:  # of this line, which changed nothing: those after it go on
            log.exception("line %d of import %s can not be done", line.number, import_id)
            await self._db.run(refuse_line, import_id, line.number, "INTERNAL")
            return
        await self._balances.void([adjustment.member_id])
