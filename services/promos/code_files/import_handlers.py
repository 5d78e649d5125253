"""CodeFileService: files of existing codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_file_pb2

from services.common.caller import BRAND_MANAGER, caller
from services.common.csv_files import require_csv
from services.common.csv_lists import csv_replies
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.common.throttle import Limit, Throttle
from services.promos.brand_access import require_own_brand
from services.promos.code_files import import_files
from services.promos.code_files.commands import create_import
from services.promos.code_files.encoding import encode_import
from services.promos.code_files.queries import IMPORTS, REFUSED_LINES, ImportRow, get_import
from services.promos.code_files.refusals import codes_exist_elsewhere
from services.promos.codes import get_code_set

_REPORT = ("line", "code", "uses", "outcome")
_MET_OTHERS = Limit("code_imports_with_codes_of_others", 10, 86_400, open_when_away=True)
"""An import tells that a code exists in a set of somebody else. So a brand has few tries at guessing."""


class CodeImportHandlers:
    """Implements what CodeFileService has of imports."""

    def __init__(self, db: Database, throttle: Throttle) -> None:
        self._db = db
        self._throttle = throttle

    async def CreateCodeImport(
        self, request: code_file_pb2.CreateCodeImportRequest, context: Context
    ) -> code_file_pb2.CreateCodeImportResponse:
        """Takes in a file, once per key."""
        who, code_set_id = caller(), UUID(request.code_set_id)
        await self._require_own(code_set_id)
        require_csv(request.file.content_type)
        if who.role == BRAND_MANAGER:
            await self._throttle.check(_MET_OTHERS, str(who.brand_id))
        file = await asyncio.to_thread(import_files.parse, request.file.data)

        async def create(connection: Connection) -> code_file_pb2.CreateCodeImportResponse:
            taken = await create_import(connection, actor=who, code_set_id=code_set_id, file=file)
            if taken.elsewhere and who.role == BRAND_MANAGER:
                raise codes_exist_elsewhere()
            return code_file_pb2.CreateCodeImportResponse(code_import=encode_import(taken.row))

        reply = code_file_pb2.CreateCodeImportResponse
        try:
            return await idempotent(self._db, context, request, reply, create)
        except DomainError as error:
            if error.reason == "CODES_EXIST_ELSEWHERE":
                await self._throttle.hit(_MET_OTHERS, str(who.brand_id))
            raise

    async def GetCodeImport(
        self, request: code_file_pb2.GetCodeImportRequest, context: Context
    ) -> code_file_pb2.GetCodeImportResponse:
        """Returns an import."""
        row = await self._own_import(request.code_import_id)
        return code_file_pb2.GetCodeImportResponse(code_import=encode_import(row))

    async def ListCodeImports(
        self, request: code_file_pb2.ListCodeImportsRequest, context: Context
    ) -> code_file_pb2.ListCodeImportsResponse:
        """Returns a page of the imports into a set."""
        code_set_id = UUID(request.code_set_id)
        await self._require_own(code_set_id)
        page = await read_page(self._db, IMPORTS, request, code_set_id=code_set_id)
        return code_file_pb2.ListCodeImportsResponse(
            code_imports=map(encode_import, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ExportRefusedLines(
        self, request: code_file_pb2.ExportRefusedLinesRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns the lines that were refused as CSV, in pieces."""
        row = await self._own_import(request.code_import_id)
        batches = REFUSED_LINES.batches(self._db, import_id=row.id)
        lines = ([(one.number, one.code, one.uses, one.outcome) for one in batch] async for batch in batches)
        async for reply in csv_replies(context, "refused-lines", _REPORT, lines):
            yield reply

    async def _own_import(self, import_id: str) -> ImportRow:
        row = await self._db.read(get_import, UUID(import_id))
        await self._require_own(row.code_set_id)
        return row

    async def _require_own(self, code_set_id: UUID) -> None:
        require_own_brand(caller(), (await self._db.read(get_code_set, code_set_id)).brand_id)
