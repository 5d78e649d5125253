"""PointsAdminService: adjustments of many members' points from one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.points.v1 import admin_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, header, timestamp
from services.common.errors import invalid_field
from services.common.idempotency import parse_key, run_once
from services.common.paging import Page
from services.points.adjustments import files, queries
from services.points.adjustments.commands.create_import import create_import
from services.points.adjustments.queries import Import

_CSV = "text/csv"
_CHUNK_LINES = 1_000

_FINISHED = {
    admin_pb2.IMPORT_STATE_UNSPECIFIED: None,
    admin_pb2.IMPORT_STATE_RUNNING: False,
    admin_pb2.IMPORT_STATE_FINISHED: True,
}


class ImportHandlers:
    """Implements what PointsAdminService has of imports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateAdjustmentImport(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> admin_pb2.CreateAdjustmentImportResponse:
        """Takes in a file, once per key."""
        actor = caller()
        key = parse_key(header(context, "idempotency-key"), required=True)
        if request.content_type.partition(";")[0].strip().lower() != _CSV:
            raise invalid_field("content_type", f"must be {_CSV}")
        lines = files.parse(request.data)

        async def create(connection: Connection) -> bytes:
            row = await create_import(connection, actor=actor, lines=lines)
            return admin_pb2.CreateAdjustmentImportResponse(
                adjustment_import=_encoded(row)
            ).SerializeToString()

        scope = (actor.subject, "CreateAdjustmentImport", key)
        reply = await self._db.run(run_once, scope, request.data, create)
        return admin_pb2.CreateAdjustmentImportResponse.FromString(reply)

    async def GetAdjustmentImport(
        self, request: admin_pb2.GetAdjustmentImportRequest, context: Context
    ) -> admin_pb2.GetAdjustmentImportResponse:
        """Returns an import and how far it is."""
        row = await self._db.read(queries.get_import, UUID(request.import_id))
        return admin_pb2.GetAdjustmentImportResponse(adjustment_import=_encoded(row))

    async def ListAdjustmentImports(
        self, request: admin_pb2.ListAdjustmentImportsRequest, context: Context
    ) -> admin_pb2.ListAdjustmentImportsResponse:
        """Returns a page of the imports."""
        finished = _FINISHED[request.state]
        page = Page(request.page_size, request.page_token, "imports", finished)
        rows, next_token = await self._db.read(queries.list_imports, page, finished=finished)
        return admin_pb2.ListAdjustmentImportsResponse(
            adjustment_imports=[_encoded(row) for row in rows], next_page_token=next_token
        )

    async def GetAdjustmentImportResult(
        self, request: admin_pb2.GetAdjustmentImportResultRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """What became of each line so far, in pieces."""
        import_id, after = UUID(request.import_id), 0
        await self._db.read(queries.get_import, import_id)
        yield httpbody_pb2.HttpBody(content_type=f"{_CSV}; charset=utf-8", data=files.result_header())
        while lines := await self._db.read(queries.import_lines, import_id, after=after, limit=_CHUNK_LINES):
            yield httpbody_pb2.HttpBody(data=files.result_lines(lines))
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
