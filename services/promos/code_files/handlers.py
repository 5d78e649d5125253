"""CodeFileService: the codes of sets as staff see them, one by one and as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Literal
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_file_pb2

from services.common.caller import BRAND_MANAGER, Caller, caller
from services.common.codes import read_code
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, read_text, timestamp
from services.common.list_pages import read_page
from services.promos.benefit_encoding import encode_benefit
from services.promos.brand_access import only_brand, require_own_brand
from services.promos.code_files.commands import record_look
from services.promos.code_files.encoding import CSV_COLUMNS, csv_cells, encode_code, encode_event
from services.promos.code_files.queries import ImportRow, get_import
from services.promos.codes import (
    CODE_EVENTS,
    CODE_LIST,
    CodeEvent,
    CodeSetRow,
    CodeState,
    Selection,
    find_code,
    get_code,
    get_code_set,
    select_codes,
    void_code,
)

_STATES: dict[code_file_pb2.CodeState.ValueType, CodeState | Literal["READY"] | None] = {
    code_file_pb2.CODE_STATE_UNSPECIFIED: None,
    code_file_pb2.CODE_STATE_READY: "READY",
    code_file_pb2.CODE_STATE_USABLE: "USABLE",
    code_file_pb2.CODE_STATE_USED: "USED",
    code_file_pb2.CODE_STATE_EXPIRED: "EXPIRED",
    code_file_pb2.CODE_STATE_VOID: "VOID",
}


class CodeFileHandlers:
    """Implements what CodeFileService does with the codes of sets."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListCodes(
        self, request: code_file_pb2.ListCodesRequest, context: Context
    ) -> code_file_pb2.ListCodesResponse:
        """Returns a page of the codes of a set."""
        who, (_, selected) = caller(), await self._selected(request)
        page = await read_page(self._db, CODE_LIST, request, order_by=selected.order_by, **selected.filters)
        return code_file_pb2.ListCodesResponse(
            codes=[encode_code(row, with_members=_sees_members(who)) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportCodes(
        self, request: code_file_pb2.ExportCodesRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns the codes of a set as CSV, in pieces."""
        who, (of, selected) = caller(), await self._selected(request)
        await self._db.run(record_look, who, "codes.exported", of.id)
        batches = CODE_LIST.batches(self._db, order_by=selected.order_by, **selected.filters)
        cells = partial(csv_cells, with_members=_sees_members(who))
        lines = (map(cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "codes", CSV_COLUMNS, lines):
            yield reply

    async def LookUpCode(
        self, request: code_file_pb2.LookUpCodeRequest, context: Context
    ) -> code_file_pb2.LookUpCodeResponse:
        """Returns the code with a text."""
        who = caller()
        found = await self._db.read(find_code, read_code(request.code), brand_id=only_brand(who))
        row = await self._db.read(get_code, found.id, brand_id=None)
        return code_file_pb2.LookUpCodeResponse(
            code=encode_code(row, with_members=_sees_members(who)),
            code_set_name=found.set_name,
            brand_id=str(found.brand_id or ""),
            benefit=encode_benefit(found.benefit),
            starts_at=timestamp(found.starts_at),
            enabled=found.enabled,
        )

    async def ListCodeEvents(
        self, request: code_file_pb2.ListCodeEventsRequest, context: Context
    ) -> code_file_pb2.ListCodeEventsResponse:
        """Returns a page of what happened to a code."""
        who = caller()
        code = await self._db.read(get_code, UUID(request.code_id), brand_id=only_brand(who))
        page = await read_page(self._db, CODE_EVENTS, request, code_id=code.id)
        return code_file_pb2.ListCodeEventsResponse(
            events=[
                encode_event(row, by=await self._import_of(row), with_members=_sees_members(who))
                for row in page.rows
            ],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def VoidCode(
        self, request: code_file_pb2.VoidCodeRequest, context: Context
    ) -> code_file_pb2.VoidCodeResponse:
        """Withdraws a code."""
        who = caller()
        row = await self._db.run(
            void_code,
            actor=who,
            code_id=UUID(request.code_id),
            brand_id=only_brand(who),
            note=read_text(request.note, "note"),
        )
        return code_file_pb2.VoidCodeResponse(code=encode_code(row, with_members=_sees_members(who)))

    async def _selected(
        self, request: code_file_pb2.ListCodesRequest | code_file_pb2.ExportCodesRequest
    ) -> tuple[CodeSetRow, Selection]:
        """Returns the set, if the caller may see it, and how its codes in the state asked for are found."""
        of = await self._db.read(get_code_set, UUID(request.code_set_id))
        require_own_brand(caller(), of.brand_id)
        return of, await self._db.read(select_codes, of, _STATES[request.state])

    async def _import_of(self, event: CodeEvent) -> ImportRow | None:
        return await self._db.read(get_import, event.import_id) if event.import_id else None


def _sees_members(who: Caller) -> bool:
    """Returns whether a caller may know whose a code is. Brands learn it of who consents, from its claims."""
    return who.role != BRAND_MANAGER
