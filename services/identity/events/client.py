"""Takes member events to the other services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import grpc
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc

from services.common import channels
from services.common.encoding import timestamp
from services.common.members import (
    Closed,
    ConsentChanged,
    FirstLogin,
    MemberEvent,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
)
from services.common.outbox import Message, Sender
from services.identity.events.kinds import read_event


def member_event_sender(targets: Mapping[str, grpc.aio.Channel], token: channels.TokenSource) -> Sender:
    """Returns the sender of member events; each service applies an event once, by its version."""
    stubs = {
        name: member_events_pb2_grpc.MemberEventsServiceStub(channel) for name, channel in targets.items()
    }

    async def send(message: Message) -> None:
        request = _apply_request(read_event(message))
        await channels.call(message.receiver, stubs[message.receiver].Apply, request, token=token)

    return send


def _apply_request(event: MemberEvent) -> member_events_pb2.ApplyRequest:
    return member_events_pb2.ApplyRequest(
        event_id=str(event.id),
        member_id=str(event.member_id),
        version=event.version,
        type=_type(event),
        occurred_at=timestamp(event.occurred_at),
        phone_hash=event.phone_hash or b"",
        shares_contact=event.shares_contact,
    )


def _type(event: MemberEvent) -> member_events_pb2.MemberEventType.ValueType:
    match event:
        case Registered():
            found = member_events_pb2.MEMBER_EVENT_TYPE_REGISTERED
        case FirstLogin():
            found = member_events_pb2.MEMBER_EVENT_TYPE_FIRST_LOGIN
        case PhoneChanged():
            found = member_events_pb2.MEMBER_EVENT_TYPE_PHONE_CHANGED
        case ConsentChanged():
            found = member_events_pb2.MEMBER_EVENT_TYPE_CONSENT_CHANGED
        case Suspended():
            found = member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED
        case Restored():
            found = member_events_pb2.MEMBER_EVENT_TYPE_RESTORED
        case Closed():
            found = member_events_pb2.MEMBER_EVENT_TYPE_CLOSED
        case _:
            assert_never(event)
    return found
