"""AuditService and SandboxService: what admins look into."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
)

from services.common.encoding import Context, moment, timestamp
from services.common.errors import invalid_field
from services.common.legacy_db import Database
from services.common.paging import Page
from services.identity.audit import queries as audit
from services.identity.otp import queries as otps


class AuditHandlers(audit_pb2_grpc.AuditServiceServicer):
    """Implements AuditService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """A page of changes."""
        wanted = audit.AuditFilter(
            actor_id=request.actor_id,
            action=request.action,
            target_id=request.target_id,
            service=request.service,
            since=moment(request, "from"),
            until=moment(request, "until"),
        )
        if wanted.since and wanted.until and wanted.since >= wanted.until:
            raise invalid_field("until", "must be later than from")
        page = Page(request.page_size, request.page_token, "audit", wanted)
        rows, next_token = await self._db.read(audit.list_audit_entries, page, wanted)
        return audit_pb2.ListAuditEntriesResponse(
            entries=[_entry(row) for row in rows], next_page_token=next_token
        )


class SandboxHandlers(sandbox_pb2_grpc.SandboxServiceServicer):
    """Implements SandboxService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetOtp(
        self, request: sandbox_pb2.GetOtpRequest, context: Context
    ) -> sandbox_pb2.GetOtpResponse:
        """The code that was not sent."""
        code = await self._db.read(otps.sandbox_code, UUID(request.otp_id))
        return sandbox_pb2.GetOtpResponse(code=code)


def _entry(row: audit.AuditRow) -> audit_pb2.AuditEntry:
    return audit_pb2.AuditEntry(
        id=str(row.id),
        service=row.service,
        actor_id=row.actor_id,
        actor_role=row.actor_role,
        action=row.action,
        target_id=row.target_id,
        occurred_at=timestamp(row.occurred_at),
        details_json=orjson.dumps(row.details).decode(),
    )
