"""ClientService, AuditService and SandboxService: what admins do in identity."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
)

from services.common.auth import caller
from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.common.paging import Page
from services.identity import queries
from services.identity.commands.create_client import create_client
from services.identity.handlers import encoding


class ClientHandlers(client_pb2_grpc.ClientServiceServicer):
    """Implements ClientService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateClient(
        self, request: client_pb2.CreateClientRequest, context: Context
    ) -> client_pb2.CreateClientResponse:
        """Makes a till."""
        client, secret = await self._db.run(
            create_client, actor=caller(), display_name=request.display_name.strip()
        )
        return client_pb2.CreateClientResponse(client=encoding.client(client), client_secret=secret)

    async def ListClients(
        self, request: client_pb2.ListClientsRequest, context: Context
    ) -> client_pb2.ListClientsResponse:
        """A page of tills."""
        page = Page(request.page_size, request.page_token, "clients")
        rows, next_token = await self._db.read(queries.list_clients, page)
        return client_pb2.ListClientsResponse(
            clients=[encoding.client(row) for row in rows], next_page_token=next_token
        )


class AuditHandlers(audit_pb2_grpc.AuditServiceServicer):
    """Implements AuditService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """A page of changes."""
        filters = {"actor_id": request.actor_id, "action": request.action, "target_id": request.target_id}
        page = Page(request.page_size, request.page_token, "audit", sorted(filters.items()))
        rows, next_token = await self._db.read(queries.list_audit_entries, page, **filters)
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
        code = await self._db.read(queries.sandbox_code, UUID(request.otp_id))
        return sandbox_pb2.GetOtpResponse(code=code)


def _entry(row: queries.AuditRow) -> audit_pb2.AuditEntry:
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
