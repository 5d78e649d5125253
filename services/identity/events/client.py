"""Identity's calls to the other services."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import grpc
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc

from services.common import channels
from services.common.encoding import timestamp
from services.identity.events.queries import MemberEventRow


class MemberEventsClient:
    """Tells a service what happened to a member."""

    def __init__(self, targets: Mapping[str, grpc.aio.Channel], token: channels.TokenSource) -> None:
        self._stubs = {
            name: member_events_pb2_grpc.MemberEventsServiceStub(channel) for name, channel in targets.items()
        }
        self._token = token

    async def apply(self, service: str, member_id: UUID, event: MemberEventRow) -> None:
        """Has the service apply one event. Raises OutcomeUnknownError when it does not answer."""
        request = member_events_pb2.ApplyRequest(
            event_id=str(event.id),
            member_id=str(member_id),
            version=event.version,
            type=member_events_pb2.MemberEventType.Value(f"MEMBER_EVENT_TYPE_{event.type}"),
            occurred_at=timestamp(event.occurred_at),
            phone_hash=event.phone_hash or b"",
            shares_contact=event.shares_contact,
        )
        await channels.call(service, self._stubs[service].Apply, request, token=self._token)
