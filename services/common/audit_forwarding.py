"""Takes audit entries to identity."""

from __future__ import annotations

import orjson
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.channels import Peers, call
from services.common.encoding import timestamp
from services.common.outbox import Message, Sender


def audit_sender(service: str, peers: Peers) -> Sender:
    """Returns the sender of a service's audit entries; identity keeps each once, by its id."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)

    async def send(entry: Message) -> None:
        request = identity_pb2.RecordAuditRequest(
            entry_id=entry.subject,
            service=service,
            actor_id=entry.content["actor_id"],
            actor_role=entry.content["actor_role"],
            action=entry.content["action"],
            target_id=entry.content["target_id"],
            occurred_at=timestamp(entry.created_at),
            details_json=orjson.dumps(entry.content["details"]).decode(),
        )
        await call(entry.receiver, stub.RecordAudit, request, token=peers.token)

    return send
