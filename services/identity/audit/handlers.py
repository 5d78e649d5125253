"""What staff changed: kept for every service, and shown to admins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
from google.api import httpbody_pb2
from scrip.identity.internal.v1 import identity_pb2
from scrip.identity.v1 import audit_pb2

from services.common.caller import Caller, caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.errors import invalid_field
from services.common.ids import utc_now
from services.common.list_pages import read_page
from services.identity.audit.commands import record_audit, record_export
from services.identity.audit.encoding import encode_entry
from services.identity.audit.queries import AUDIT_ENTRIES, AuditRow

_COLUMNS = ("id", "occurred_at", "service", "actor_id", "actor_role", "action", "target_id", "details")
"""Of the CSV."""


class AuditHandlers:
    """Implements AuditService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """Returns a page of changes."""
        wanted = _wanted(request)
        page = await read_page(self._db, AUDIT_ENTRIES, request, order_by=request.order_by, **wanted)
        return audit_pb2.ListAuditEntriesResponse(
            entries=map(encode_entry, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ExportAuditEntries(
        self, request: audit_pb2.ExportAuditEntriesRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Yields the changes as CSV, once it is kept who asked for them."""
        wanted = _wanted(request)
        await self._db.run(record_export, actor=caller(), wanted=wanted)
        batches = AUDIT_ENTRIES.batches(self._db, order_by=request.order_by, **wanted)
        async for piece in csv_replies(context, "audit-entries", _COLUMNS, _cells(batches)):
            yield piece


def _wanted(
    request: audit_pb2.ListAuditEntriesRequest | audit_pb2.ExportAuditEntriesRequest,
) -> dict[str, object]:
    """Returns the filters that are asked for. Raises VALIDATION_FAILED for an end before the start."""
    since, until = moment(request, "occurred_from"), moment(request, "occurred_until")
    if since and until and since >= until:
        raise invalid_field("occurred_until", "must be later than occurred_from")
    texts = ("actor_id", "action", "target_id", "service")
    wanted: dict[str, Any] = {name: getattr(request, name) for name in texts}
    wanted |= {"occurred_from": since, "occurred_until": until}
    return {name: value for name, value in wanted.items() if value}


async def _cells(batches: AsyncIterator[Sequence[AuditRow]]) -> AsyncIterator[Iterable[Sequence[object]]]:
    async for rows in batches:
        yield [
            (
                row.id,
                row.occurred_at.isoformat(),
                row.service,
                row.actor_id,
                row.actor_role,
                row.action,
                row.target_id,
                orjson.dumps(row.details).decode(),
            )
            for row in rows
        ]


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
