"""Members who registered a moment ago: identity knows them, and their events are on the way to promos."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import member_pb2

from services.common.channels import Peers, call
from services.common.db import Database
from services.common.members import ACTIVE, SUSPENDED, keep_new_member, member_closed

_STATUSES = {member_pb2.MEMBER_STATE_ACTIVE: ACTIVE, member_pb2.MEMBER_STATE_SUSPENDED: SUSPENDED}


class NewMembers:
    """Asks identity about members of whom promos has not heard."""

    def __init__(self, db: Database, peers: Peers) -> None:
        self._db = db
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token

    async def keep(self, member_id: UUID) -> None:
        """Keeps a member whom identity knows.

        Raises MEMBER_NOT_FOUND when it does not, MEMBER_CLOSED, and OutcomeUnknownError when it does not
        reply.
        """
        request = identity_pb2.GetMemberStateRequest(member_id=str(member_id))
        reply = await call("identity", self._stub.GetMemberState, request, token=self._token)
        status = _STATUSES.get(reply.state)
        if status is None:
            raise member_closed()
        await self._db.run_autocommit(keep_new_member, member_id, status)
