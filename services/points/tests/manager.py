"""Points as staff see it, and a worker of points in a process of its own."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2
from google.rpc import error_details_pb2
from scrip.points.v1 import admin_pb2, admin_pb2_grpc

from services.common.csv_lists import END
from services.common.db import Connection
from services.common.ids import new_id
from services.points.tests.own_service import OwnService
from services.points.tests.support import Points
from tests import own_service as own_services
from tests.inprocess import bearer, eventually, refused_status

ROOT = Path(__file__).resolve().parents[3]
HEADER = "member_id,delta,reason"


@dataclass
class Manager:
    """Somebody of the staff, with the points to look after."""

    points: Points
    token: str

    @property
    def stub(self) -> Any:
        """PointsAdminService."""
        return admin_pb2_grpc.PointsAdminServiceStub(self.points.channel)

    async def adjust(
        self, member_id: UUID, delta: int, reason: str = "Goodwill", *, key: str | None = None
    ) -> admin_pb2.AdjustPointsResponse:
        """Adjusts, under a new key when none is given."""
        request = admin_pb2.AdjustPointsRequest(member_id=str(member_id), delta=delta, reason=reason)
        metadata = bearer(self.token, idempotency_key=key or str(new_id()))
        reply: admin_pb2.AdjustPointsResponse = await self.stub.AdjustPoints(request, metadata=metadata)
        return reply

    async def upload(
        self, content: str | bytes, *, key: str | None = None, content_type: str = "text/csv"
    ) -> admin_pb2.AdjustmentImport:
        """Hands in a file, under a new key when none is given."""
        data = content if isinstance(content, bytes) else content.encode()
        file = httpbody_pb2.HttpBody(content_type=content_type, data=data)
        request = admin_pb2.CreateAdjustmentImportRequest(file=file)
        metadata = bearer(self.token, idempotency_key=key or str(new_id()))
        reply: admin_pb2.CreateAdjustmentImportResponse = await self.stub.CreateAdjustmentImport(
            request, metadata=metadata
        )
        return reply.adjustment_import

    async def get_import(self, import_id: str) -> admin_pb2.AdjustmentImport:
        """Returns how far an import is."""
        request = admin_pb2.GetAdjustmentImportRequest(adjustment_import_id=import_id)
        reply: admin_pb2.GetAdjustmentImportResponse = await self.stub.GetAdjustmentImport(
            request, metadata=bearer(self.token)
        )
        return reply.adjustment_import

    async def finished(self, import_id: str, *, seconds: float = 20) -> admin_pb2.AdjustmentImport:
        """Returns an import when it is finished."""

        async def look() -> admin_pb2.AdjustmentImport:
            found = await self.get_import(import_id)
            assert found.state == admin_pb2.IMPORT_STATE_FINISHED, found
            return found

        return await eventually(look, seconds=seconds)

    async def pieces(self, import_id: str) -> list[httpbody_pb2.HttpBody]:
        """Returns the result of an import, as it comes."""
        request = admin_pb2.GetAdjustmentImportResultRequest(adjustment_import_id=import_id)
        stream = self.stub.GetAdjustmentImportResult(request, metadata=bearer(self.token))
        return [piece async for piece in stream]

    async def result(self, import_id: str) -> list[dict[str, str]]:
        """Returns the lines of the result of an import, by column."""
        return csv_rows(b"".join(piece.data for piece in await self.pieces(import_id)))


def csv_rows(data: bytes) -> list[dict[str, str]]:
    """Returns the rows of a CSV file of Scrip, by column; it is whole."""
    *rows, last = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert list(last.values())[:2] == [END, str(len(rows))], "the file is cut"
    return rows


def csv_file(*lines: tuple[object, ...]) -> str:
    """Returns a file with a header and these lines."""
    out = io.StringIO()
    csv.writer(out).writerows([HEADER.split(","), *lines])
    return out.getvalue()


async def faulty_fields(call: Awaitable[object]) -> list[str]:
    """Returns the fields for which a call was refused with VALIDATION_FAILED."""
    return [violation.field for violation in await violations(call)]


async def violations(call: Awaitable[object]) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Returns what was wrong with the fields of a call that was refused with VALIDATION_FAILED."""
    status, _ = await refused_status(call)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "VALIDATION_FAILED"
    assert any(detail.Unpack(bad) for detail in status.details), f"no field is named in {status}"
    return list(bad.field_violations)


async def execute(points: Points, statement: str, /, **values: Any) -> None:
    """Changes rows behind the back of points."""

    async def change(connection: Connection) -> None:
        await connection.execute(statement, values or None)

    await points.database.run(change)


def environment(points: OwnService) -> dict[str, str]:
    """Returns the environment of a process of points that uses this database."""
    return own_services.environment(points.platform, "points", points.database_url)


async def run_command(points: OwnService, command: str) -> tuple[int, str]:
    """Exit status and output of `python -m services.points <command>`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.points",
        command,
        cwd=ROOT,
        env=environment(points),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@asynccontextmanager
async def worker(points: OwnService) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A worker of points in a process of its own, killed at last."""
    command = [sys.executable, "-m", "services.points", "worker"]
    process = subprocess.Popen(  # noqa: ASYNC220  # it only forks
        command,
        cwd=ROOT,
        env=environment(points),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
