"""MemberEventsService: what identity tells of members."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from scrip.common.internal.v1 import member_events_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.member_events import _decode as decode
from services.common.members import OnMemberEvent
from services.promos.members.commands import apply_member_event

_EVENTS_AT_ONCE = 4


class MemberEventsHandlers:
    """Implements MemberEventsService."""

    def __init__(self, db: Database, features: Sequence[OnMemberEvent]) -> None:
        self._db = db
        self._features = features
        # First logins meet at a campaign's row; more at once would only hold connections waiting for it.
        self._turns = asyncio.Semaphore(_EVENTS_AT_ONCE)

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies one event."""
        event = decode(request)
        async with self._turns:
            await self._db.run(apply_member_event, event, self._features)
        return member_events_pb2.ApplyResponse()
