"""What staff changed: kept for every service, and shown to admins."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.identity.internal.v1 import identity_pb2
from scrip.identity.v1 import audit_pb2

from services.common.caller import Caller, caller
from services.common.db import Database
from services.common.encoding import Context, moment, timestamp
from services.common.errors import invalid_field
from services.common.ids import utc_now
from services.common.paging import Page
from services.identity.audit import queries as audit
from services.identity.audit.commands import record_audit


class AuditHandlers:
    """Implements AuditService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """Returns a page of changes."""
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


class AuditForwardingHandlers:
    """Keeps the audit entries of other services: a part of IdentityInternalService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordAudit(
        self, request: identity_pb2.RecordAuditRequest, context: Context
    ) -> identity_pb2.RecordAuditResponse:
        """Keeps another service's audit entry; none may write entries of another."""
        if request.service != caller().subject:
            raise invalid_field("service", "must be the service that calls")
        try:
            details = orjson.loads(request.details_json or "{}")
        except orjson.JSONDecodeError as error:
            raise invalid_field("details_json", "is not JSON") from error
        if not isinstance(details, dict):
            raise invalid_field("details_json", "is not a JSON object")
        await self._db.run(
            record_audit,
            entry_id=UUID(request.entry_id),
            service=request.service,
            actor=Caller(request.actor_id, request.actor_role),
            action=request.action,
            target_id=request.target_id,
            occurred_at=moment(request, "occurred_at") or utc_now(),
            details=details,
        )
        return identity_pb2.RecordAuditResponse()


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
