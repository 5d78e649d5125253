"""What vouchers keeps of member events."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from uuid import UUID

import pytest
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc

from services.common.db import fetch_one
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from tests.inprocess import Platform, bearer, reason


async def send_event(
    platform: Platform, member_id: UUID, version: int, event: str, role: str = "identity"
) -> None:
    stub = member_events_pb2_grpc.MemberEventsServiceStub(platform.channels["vouchers"])
    request = member_events_pb2.ApplyRequest(
        event_id=str(new_id()),
        member_id=str(member_id),
        version=version,
        type=member_events_pb2.MemberEventType.Value(f"MEMBER_EVENT_TYPE_{event}"),
        occurred_at=timestamp(utc_now()),
    )
    await stub.Apply(request, metadata=bearer(await platform.service_token(role)))


class Known(NamedTuple):
    """What vouchers knows of a member."""

    version: int
    status: str
    registered: bool


async def known(platform: Platform, member_id: UUID) -> Known:
    query = """
        SELECT version, status, registered_at IS NOT NULL AS registered FROM members WHERE member_id = %(id)s
    """
    found: Known = await platform.databases["vouchers"].read(fetch_one, Known, query, id=member_id)
    return found


async def test_where_a_member_stands_follows_the_events_in_order(platform: Platform) -> None:
    member = new_id()
    for version, event, expected in (
        (1, "REGISTERED", (1, "ACTIVE", True)),
        (2, "FIRST_LOGIN", (2, "ACTIVE", True)),
        (4, "SUSPENDED", (4, "SUSPENDED", True)),
        (3, "CLOSED", (4, "SUSPENDED", True)),
        (4, "RESTORED", (4, "SUSPENDED", True)),
        (5, "CONSENT_CHANGED", (5, "SUSPENDED", True)),
        (6, "RESTORED", (6, "ACTIVE", True)),
        (7, "CLOSED", (7, "CLOSED", True)),
        (8, "RESTORED", (7, "CLOSED", True)),
    ):
        await send_event(platform, member, version, event)
        assert await known(platform, member) == expected


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_events_that_arrive_at_once_leave_the_newest(platform: Platform) -> None:
    member = new_id()
    events = [(version, "SUSPENDED" if version % 2 else "RESTORED") for version in range(3, 23)]
    await asyncio.gather(*(send_event(platform, member, version, event) for version, event in events * 3))
    assert await known(platform, member) == (22, "ACTIVE", False)


@pytest.mark.parametrize("role", ["points", "promos", "vouchers"])
async def test_only_identity_tells(platform: Platform, role: str) -> None:
    assert await reason(send_event(platform, new_id(), 1, "REGISTERED", role)) == "ROLE_NOT_ALLOWED"
