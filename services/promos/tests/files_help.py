"""Code sets and their files, as staff speak to promos."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_file_pb2, code_file_pb2_grpc

from services.common.csv_lists import END
from services.common.db import Connection
from services.common.ids import new_id
from services.promos.benefits import AmountOff, Benefit
from services.promos.codes import NewCode, import_codes, make_code_set
from services.promos.tests.support import Promos
from tests.inprocess import bearer

FIVE_OFF = Benefit(AmountOff(500), "USD")


@dataclass(frozen=True)
class Files:
    """CodeFileService for somebody of the staff. Refused calls raise what gRPC raises."""

    promos: Promos
    token: str

    @property
    def stub(self) -> Any:
        """CodeFileService."""
        return code_file_pb2_grpc.CodeFileServiceStub(self.promos.channel)

    async def codes(self, code_set_id: UUID, **fields: Any) -> list[code_file_pb2.Code]:
        """Returns a page of a set's codes."""
        return list((await self.page(code_set_id, **fields)).codes)

    async def page(self, code_set_id: UUID, **fields: Any) -> code_file_pb2.ListCodesResponse:
        """Returns a page of a set's codes, with what comes with it."""
        request = code_file_pb2.ListCodesRequest(code_set_id=str(code_set_id), **fields)
        reply: code_file_pb2.ListCodesResponse = await self.stub.ListCodes(
            request, metadata=bearer(self.token)
        )
        return reply

    async def export(self, code_set_id: UUID, **fields: Any) -> list[dict[str, str]]:
        """Returns a set's codes as the file has them."""
        request = code_file_pb2.ExportCodesRequest(code_set_id=str(code_set_id), **fields)
        return await self._rows(self.stub.ExportCodes(request, metadata=bearer(self.token)))

    async def find(self, code: str) -> code_file_pb2.LookUpCodeResponse:
        """Returns a code by its text."""
        request = code_file_pb2.LookUpCodeRequest(code=code)
        reply: code_file_pb2.LookUpCodeResponse = await self.stub.LookUpCode(
            request, metadata=bearer(self.token)
        )
        return reply

    async def events(self, code_id: str, **fields: Any) -> list[code_file_pb2.CodeEvent]:
        """Returns what happened to a code."""
        return list((await self.event_page(code_id, **fields)).events)

    async def event_page(self, code_id: str, **fields: Any) -> code_file_pb2.ListCodeEventsResponse:
        """Returns what happened to a code, with what comes with it."""
        request = code_file_pb2.ListCodeEventsRequest(code_id=code_id, **fields)
        reply: code_file_pb2.ListCodeEventsResponse = await self.stub.ListCodeEvents(
            request, metadata=bearer(self.token)
        )
        return reply

    async def void(self, code_id: str, note: str = "Printed twice") -> code_file_pb2.Code:
        """Withdraws a code."""
        request = code_file_pb2.VoidCodeRequest(code_id=code_id, note=note)
        reply: code_file_pb2.VoidCodeResponse = await self.stub.VoidCode(request, metadata=bearer(self.token))
        return reply.code

    async def upload(
        self,
        code_set_id: UUID,
        content: str | bytes,
        *,
        key: str | None = None,
        content_type: str = "text/csv",
    ) -> code_file_pb2.CodeImport:
        """Hands in a file of codes, under a new key when none is given."""
        data = content if isinstance(content, bytes) else content.encode()
        file = httpbody_pb2.HttpBody(content_type=content_type, data=data)
        request = code_file_pb2.CreateCodeImportRequest(code_set_id=str(code_set_id), file=file)
        metadata = bearer(self.token, idempotency_key=key or str(new_id()))
        reply: code_file_pb2.CreateCodeImportResponse = await self.stub.CreateCodeImport(
            request, metadata=metadata
        )
        return reply.code_import

    async def get_import(self, import_id: str) -> code_file_pb2.CodeImport:
        """Returns an import."""
        request = code_file_pb2.GetCodeImportRequest(code_import_id=import_id)
        reply: code_file_pb2.GetCodeImportResponse = await self.stub.GetCodeImport(
            request, metadata=bearer(self.token)
        )
        return reply.code_import

    async def imports(self, code_set_id: UUID, **fields: Any) -> code_file_pb2.ListCodeImportsResponse:
        """Returns a page of the imports into a set."""
        request = code_file_pb2.ListCodeImportsRequest(code_set_id=str(code_set_id), **fields)
        reply: code_file_pb2.ListCodeImportsResponse = await self.stub.ListCodeImports(
            request, metadata=bearer(self.token)
        )
        return reply

    async def refused(self, import_id: str) -> list[dict[str, str]]:
        """Returns the refused lines of an import."""
        request = code_file_pb2.ExportRefusedLinesRequest(code_import_id=import_id)
        return await self._rows(self.stub.ExportRefusedLines(request, metadata=bearer(self.token)))

    async def sheet(self, code_set_id: UUID, **fields: Any) -> tuple[bytes, str]:
        """Returns a sheet, and the id of its last code if there are more."""
        request = code_file_pb2.GetCodeSheetRequest(code_set_id=str(code_set_id), **fields)
        call = self.stub.GetCodeSheet(request, metadata=bearer(self.token))
        reply = await call
        assert reply.content_type == "application/pdf"
        headers = dict(await call.initial_metadata())
        return reply.data, str(headers.get("x-last-code-id", ""))

    async def _rows(self, stream: Any) -> list[dict[str, str]]:
        pieces = [piece async for piece in stream]
        assert pieces[0].content_type == "text/csv; charset=utf-8"
        data = b"".join(piece.data for piece in pieces)
        *rows, last = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        assert list(last.values())[:2] == [END, str(len(rows))], "the file is cut"
        return rows


async def new_set(promos: Promos, purpose: Any = "HANDED_OUT", **fields: Any) -> UUID:
    """Returns a new set without codes."""
    code_set_id = new_id()
    values = {"purpose": purpose, "benefit": FIVE_OFF, "expires_at": None, **fields}
    await promos.db.run(make_code_set, code_set_id, **values)
    return code_set_id


async def handed_out(promos: Promos, codes: Sequence[str], **fields: Any) -> UUID:
    """Returns a new set with these codes, good for whoever brings them."""
    code_set_id = await new_set(promos, **fields)

    async def fill(connection: Connection) -> None:
        new = [NewCode(code, None) for code in codes]
        await import_codes(connection, code_set_id, new, import_id=new_id())

    await promos.db.run(fill)
    return code_set_id


def some_codes(count: int) -> list[str]:
    """Returns so many codes that nobody has yet."""
    return [f"{new_id().hex[-8:].upper().replace('O', '0')}X{number:04d}" for number in range(count)]
