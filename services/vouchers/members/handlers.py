"""MemberEventsService: what identity tells of members."""

from __future__ import annotations

from scrip.common.internal.v1 import member_events_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.member_events import _decode as decode
from services.vouchers.members.commands import keep_member_event


class MemberEventsHandlers:
    """Implements MemberEventsService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies one event."""
        await self._db.run(keep_member_event, decode(request))
        return member_events_pb2.ApplyResponse()
