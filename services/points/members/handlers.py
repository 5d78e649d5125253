"""MemberEventsService: what identity tells of members."""

from __future__ import annotations

from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2

from services.common.db import Database
from services.common.encoding import Context, moment
from services.points.ledger import OnMoved
from services.points.members.apply_member_event import MemberEvent, apply_member_event


class MemberEventsHandlers:
    """Implements MemberEventsService."""

    def __init__(self, db: Database, on_moved: OnMoved) -> None:
        self._db = db
        self._on_moved = on_moved

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies an event, once in effect."""
        event = MemberEvent(
            UUID(request.event_id),
            UUID(request.member_id),
            request.version,
            member_events_pb2.MemberEventType.Name(request.type).removeprefix("MEMBER_EVENT_TYPE_"),
            moment(request, "occurred_at"),
        )
        await self._db.run(apply_member_event, event)
        if event.type == "CLOSED":
            await self._on_moved([event.member_id])
        return member_events_pb2.ApplyResponse()
