"""MemberEventsService, as every service but identity has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2

from services.common import members
from services.common.db import Connection, Database
from services.common.encoding import Context, moment
from services.common.errors import invalid_field
from services.common.members import MemberEvent, OnMemberEvent, keep_member_event

_AT_ONCE = 8

_KINDS: dict[int, type[MemberEvent]] = {
    member_events_pb2.MEMBER_EVENT_TYPE_REGISTERED: members.Registered,
    member_events_pb2.MEMBER_EVENT_TYPE_FIRST_LOGIN: members.FirstLogin,
    member_events_pb2.MEMBER_EVENT_TYPE_PHONE_CHANGED: members.PhoneChanged,
    member_events_pb2.MEMBER_EVENT_TYPE_CONSENT_CHANGED: members.ConsentChanged,
    member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED: members.Suspended,
    member_events_pb2.MEMBER_EVENT_TYPE_RESTORED: members.Restored,
    member_events_pb2.MEMBER_EVENT_TYPE_CLOSED: members.Closed,
}


async def apply_member_event(
    connection: Connection, event: MemberEvent, features: Sequence[OnMemberEvent]
) -> None:
    """Keeps an event, and lets each feature handle it if it is new."""
    if await keep_member_event(connection, event):
        for on_member_event in features:
            await on_member_event(connection, event)


class MemberEventsHandlers:
    """Implements MemberEventsService.

    `after` runs when an event was committed, now or before: for what a cache must void. `at_once` events
    are applied at a time: more would hold connections that calls need.
    """

    def __init__(
        self,
        db: Database,
        features: Sequence[OnMemberEvent] = (),
        after: Callable[[MemberEvent], Awaitable[None]] | None = None,
        *,
        at_once: int = _AT_ONCE,
    ) -> None:
        self._db = db
        self._features = features
        self._after = after
        self._turns = asyncio.Semaphore(at_once)

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies an event, once in effect."""
        event = _decode(request)
        async with self._turns:
            await self._db.run(apply_member_event, event, self._features)
        if self._after:
            await self._after(event)
        return member_events_pb2.ApplyResponse()


def _decode(request: member_events_pb2.ApplyRequest) -> MemberEvent:
    kind = _KINDS.get(request.type)
    occurred_at = moment(request, "occurred_at")
    if kind is None or occurred_at is None:
        raise invalid_field("type" if kind is None else "occurred_at", "is not known here")
    return kind(
        UUID(request.event_id),
        UUID(request.member_id),
        request.version,
        occurred_at,
        request.phone_hash or None,
        request.shares_contact,
    )
