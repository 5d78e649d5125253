"""IdentityInternalService: where a member's account stands."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.identity.members.encoding import encode_state
from services.identity.members.queries import get_member


class MemberStateHandlers:
    """Implements GetMemberState of IdentityInternalService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetMemberState(
        self, request: identity_pb2.GetMemberStateRequest, context: Context
    ) -> identity_pb2.GetMemberStateResponse:
        """Returns where the account stands."""
        row = await self._db.read(get_member, UUID(request.member_id))
        return identity_pb2.GetMemberStateResponse(state=encode_state(row.status))
