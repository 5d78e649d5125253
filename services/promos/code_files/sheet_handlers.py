"""CodeFileService: sheets of QR codes."""

from __future__ import annotations

import asyncio
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_file_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import overloaded
from services.common.paging import Page
from services.promos.brand_access import require_own_brand
from services.promos.code_files import sheet
from services.promos.code_files.commands import record_look
from services.promos.code_files.sheet import SheetCode
from services.promos.codes import (
    CODE_LIST,
    ListedCode,
    code_text,
    display_code,
    get_code_set,
    require_purpose,
)

_MAX_CODES, _COLUMNS = 100, 4
_MOST_WAITING = 4
_PAPERS = {
    code_file_pb2.PAPER_SIZE_UNSPECIFIED: sheet.A4,
    code_file_pb2.PAPER_SIZE_A4: sheet.A4,
    code_file_pb2.PAPER_SIZE_LETTER: sheet.LETTER,
}


class SheetHandlers:
    """Implements GetCodeSheet of CodeFileService. A process draws one at a time, beside its calls."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._drawing = asyncio.Lock()
        self._waiting = 0

    async def GetCodeSheet(
        self, request: code_file_pb2.GetCodeSheetRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Returns the next codes of a set that can be handed out, to print."""
        who, of = caller(), await self._db.read(get_code_set, UUID(request.code_set_id))
        require_own_brand(who, of.brand_id)
        require_purpose(of, "HANDED_OUT")
        after = UUID(request.after_code_id) if request.after_code_id else None
        page = Page(request.max_codes or _MAX_CODES, "", "sheet")
        rows, more = await self._db.read(
            CODE_LIST.page, page, code_set_id=of.id, after=after, bearer=True, unused=True, not_ended=True
        )
        codes = [_sheet_code(row) for row in rows]
        await self._db.run(record_look, who, "codes.printed", of.id)
        drawn = await self._draw(codes, request, of.name or str(of.id), str(of.id))
        headers = [("content-disposition", 'attachment; filename="codes.pdf"'), ("cache-control", "no-store")]
        if more:
            headers.append(("x-last-code-id", str(rows[-1].id)))
        await context.send_initial_metadata(tuple(headers))
        return httpbody_pb2.HttpBody(content_type="application/pdf", data=drawn)

    async def _draw(
        self, codes: list[SheetCode], request: code_file_pb2.GetCodeSheetRequest, title: str, plain: str
    ) -> bytes:
        if self._waiting >= _MOST_WAITING:
            raise overloaded("sheets", seconds=2)
        self._waiting += 1
        try:
            async with self._drawing:
                return await asyncio.to_thread(
                    sheet.draw,
                    codes,
                    title=title,
                    plain_title=plain,
                    paper=_PAPERS[request.paper],
                    columns=request.columns or _COLUMNS,
                )
        finally:
            self._waiting -= 1


def _sheet_code(row: ListedCode) -> SheetCode:
    return SheetCode(
        code_text(row.code, row.pattern, row.written), display_code(row.code, row.pattern, row.written)
    )
