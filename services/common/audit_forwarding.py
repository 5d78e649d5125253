"""Takes audit entries to identity."""

from __future__ import annotations

from uuid import UUID

import orjson
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common import audit
from services.common.channels import Peers, call
from services.common.db import Database
from services.common.encoding import timestamp
from services.common.jobs import Task


def forward_audit_task(service: str, db: Database, peers: Peers) -> Task:
    """The job that takes one entry of this service to identity, once in effect."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)

    async def forward_audit(entry_id: str) -> None:
        entry = await db.read(audit.pending, UUID(entry_id))
        if entry is None:
            return
        request = identity_pb2.RecordAuditRequest(
            entry_id=str(entry.id),
            service=service,
            actor_id=entry.actor_id,
            actor_role=entry.actor_role,
            action=entry.action,
            target_id=entry.target_id,
            occurred_at=timestamp(entry.occurred_at),
            details_json=orjson.dumps(entry.details).decode(),
        )
        await call("identity", stub.RecordAudit, request, token=peers.token)
        await db.run(audit.forwarded, entry.id)

    return forward_audit
