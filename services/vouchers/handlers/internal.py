"""MemberEventsService: hearing of members."""

from __future__ import annotations

from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc

from services.common.encoding import Context, moment
from services.common.legacy_db import Database
from services.vouchers.commands.apply_member_event import apply_member_event


class MemberEventsHandlers(member_events_pb2_grpc.MemberEventsServiceServicer):
    """Implements MemberEventsService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies one event."""
        await self._db.run(
            apply_member_event,
            member_id=UUID(request.member_id),
            version=request.version,
            event=member_events_pb2.MemberEventType.Name(request.type).removeprefix("MEMBER_EVENT_TYPE_"),
            occurred_at=moment(request, "occurred_at"),
        )
        return member_events_pb2.ApplyResponse()
