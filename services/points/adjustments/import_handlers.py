"""PointsAdminService: adjustments of many members' points from one file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from google.api import httpbody_pb2
from scrip.points.v1 import admin_pb2

from services.common.caller import caller
from services.common.csv_files import require_csv
from services.common.csv_lists import csv_replies
from services.common.db import Connection, Database
from services.common.encoding import Context, timestamp
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.points.adjustments import files, queries
from services.points.adjustments.commands.create_import import create_import
from services.points.adjustments.queries import Import

_CHUNK_LINES = 1_000

_STATES: dict[admin_pb2.ImportState.ValueType, dict[str, bool]] = {
    admin_pb2.IMPORT_STATE_UNSPECIFIED: {},
    admin_pb2.IMPORT_STATE_RUNNING: {"running": True},
    admin_pb2.IMPORT_STATE_FINISHED: {"finished": True},
}
"""The filter for each state."""


class ImportHandlers:
    """Implements what PointsAdminService has of imports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateAdjustmentImport(
        self, request: admin_pb2.CreateAdjustmentImportRequest, context: Context
    ) -> admin_pb2.CreateAdjustmentImportResponse:
        """Takes in a file, once per key."""
        actor = caller()
        require_csv(request.file.content_type)
        lines = files.parse(request.file.data)

        async def create(connection: Connection) -> admin_pb2.CreateAdjustmentImportResponse:
            row = await create_import(connection, actor=actor, lines=lines)
            return admin_pb2.CreateAdjustmentImportResponse(adjustment_import=_encoded(row))

        reply = admin_pb2.CreateAdjustmentImportResponse
        return await idempotent(self._db, context, request, reply, create, content=request.file.data)

    async def GetAdjustmentImport(
        self, request: admin_pb2.GetAdjustmentImportRequest, context: Context
    ) -> admin_pb2.GetAdjustmentImportResponse:
        """Returns an import and how far it is."""
        row = await self._db.read(queries.get_import, UUID(request.adjustment_import_id))
        return admin_pb2.GetAdjustmentImportResponse(adjustment_import=_encoded(row))

    async def ListAdjustmentImports(
        self, request: admin_pb2.ListAdjustmentImportsRequest, context: Context
    ) -> admin_pb2.ListAdjustmentImportsResponse:
        """Returns a page of the imports."""
        page = await read_page(
            self._db, queries.IMPORTS, request, order_by=request.order_by, **_STATES[request.state]
        )
        return admin_pb2.ListAdjustmentImportsResponse(
            adjustment_imports=map(_encoded, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def GetAdjustmentImportResult(
        self, request: admin_pb2.GetAdjustmentImportResultRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """What became of each line so far, in pieces."""
        import_id = UUID(request.adjustment_import_id)
        await self._db.read(queries.get_import, import_id)
        async for piece in csv_replies(
            context, "adjustment-import", files.RESULT_COLUMNS, self._results(import_id)
        ):
            yield piece

    async def _results(self, import_id: UUID) -> AsyncIterator[Iterable[Sequence[object]]]:
        after = 0
        while lines := await self._db.read(queries.import_lines, import_id, after=after, limit=_CHUNK_LINES):
            yield map(files.result_row, lines)
            after = lines[-1].number


def _encoded(row: Import) -> admin_pb2.AdjustmentImport:
    finished = row.finished_at is not None
    return admin_pb2.AdjustmentImport(
        id=str(row.id),
        state=admin_pb2.IMPORT_STATE_FINISHED if finished else admin_pb2.IMPORT_STATE_RUNNING,
        lines=row.lines,
        done=row.done,
        refused=row.refused,
        created_by=row.created_by,
        created_at=timestamp(row.created_at),
        finished_at=timestamp(row.finished_at),
    )
