"""How to reach members who agree to share it: asked of identity, shown or sent, and never kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common import audit
from services.common.batching import Batcher
from services.common.caller import Caller
from services.common.channels import Peers, call
from services.common.db import Connection, Database

MOST_ASKED = 200
"""Members of one question, and of one audit entry."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach a member. Phone number and confirmed e-mail address are empty when there is none."""

    full_name: str
    phone: str
    email: str


class Contacts:
    """Asks identity for contact data. It has that of active members who agree at this moment."""

    def __init__(self, db: Database, peers: Peers) -> None:
        self._db = db
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token
        self._questions = Batcher("consents", self._agree, max_batch=MOST_ASKED)

    async def agrees(self, member_id: UUID) -> bool:
        """Returns whether a member agrees now. Those who are asked about at once share a call.

        Raises OVERLOADED, and OutcomeUnknownError when identity does not reply.
        """
        return await self._questions.submit(member_id)

    async def disclose(
        self, actor: Caller, action: str, target_id: UUID, member_ids: Sequence[UUID]
    ) -> dict[UUID, Contact]:
        """Returns the contact data of those of at most 200 members who agree, for somebody to see.

        That `actor` gets to see it is audited first, with the members. Raises OutcomeUnknownError when
        identity does not reply.
        """
        found = await self._ask(sorted(set(member_ids)))
        if found:
            shown = [str(member_id) for member_id in sorted(found)]
            await self._db.run(_record, actor, action, target_id, shown)
        return found

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._questions.close()

    async def _agree(self, member_ids: list[UUID]) -> list[bool]:
        agreeing = await self._ask(list(set(member_ids)))
        return [member_id in agreeing for member_id in member_ids]

    async def _ask(self, member_ids: Sequence[UUID]) -> dict[UUID, Contact]:
        if not member_ids:
            return {}
        request = identity_pb2.BatchGetContactsRequest(member_ids=map(str, member_ids))
        reply = await call("identity", self._stub.BatchGetContacts, request, token=self._token)
        return {
            UUID(member_id): Contact(found.full_name, found.phone, found.email)
            for member_id, found in reply.contacts.items()
        }


async def _record(
    connection: Connection, actor: Caller, action: str, target_id: UUID, member_ids: Sequence[str]
) -> None:
    await audit.record(connection, actor, action, target_id, member_ids=member_ids)
