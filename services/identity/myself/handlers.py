"""MyselfService: who the caller is and what it may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import myself_pb2

from services.common.caller import MEMBER, caller
from services.common.db import Database
from services.common.encoding import Context, header, timestamp
from services.identity.keys import token_expiry
from services.identity.members import get_member
from services.identity.staff import get_staff


class MyselfHandlers:
    """Implements MyselfService."""

    def __init__(self, db: Database, allowed: Mapping[permission_pb2.Role.ValueType, Sequence[str]]) -> None:
        self._db = db
        self._allowed = allowed

    async def GetMyself(
        self, request: myself_pb2.GetMyselfRequest, context: Context
    ) -> myself_pb2.GetMyselfResponse:
        """Returns the caller, the RPCs of its role, and when its token expires."""
        who = caller()
        if who.role == MEMBER:
            member = await self._db.read(get_member, who.id)
            full_name, user_name = member.full_name, member.user_name or ""
        else:
            staff = await self._db.read(get_staff, who.id)
            full_name, user_name = staff.full_name, staff.user_name
        role = permission_pb2.Role.Value(f"ROLE_{who.role.upper()}")
        return myself_pb2.GetMyselfResponse(
            myself=myself_pb2.Myself(
                id=who.subject,
                role=role,
                full_name=full_name,
                user_name=user_name,
                allowed_rpcs=self._allowed[role],
                brand_id=str(who.brand_id or ""),
                token_expires_at=timestamp(token_expiry(header(context, "authorization") or "")),
            )
        )
