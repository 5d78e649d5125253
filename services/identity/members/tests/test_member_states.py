"""Where a member's account stands, as promos asks when it has not heard of the member yet."""

from __future__ import annotations

from uuid import UUID

import grpc
import pytest
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import member_pb2

from services.common.ids import new_id
from services.identity.tests.people import People
from tests.inprocess import Platform, bearer, reason, refusal


async def state(
    platform: Platform, member_id: UUID, service: str = "promos"
) -> member_pb2.MemberState.ValueType:
    """Returns what a service is told."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.GetMemberStateRequest(member_id=str(member_id))
    token = await platform.service_token(service)
    return (await stub.GetMemberState(request, metadata=bearer(token))).state


@pytest.mark.covers("C7 IdentityInternalService.GetMemberState")
async def test_the_state_is_that_of_this_moment(people: People, platform: Platform) -> None:
    member, manager = await platform.member(), await platform.token("manager")
    assert await state(platform, member.id) == member_pb2.MEMBER_STATE_ACTIVE
    await people.suspend(member.id, manager)
    assert await state(platform, member.id) == member_pb2.MEMBER_STATE_SUSPENDED
    gone = await platform.member()
    await platform.close_account(gone)
    assert await state(platform, gone.id) == member_pb2.MEMBER_STATE_CLOSED


async def test_staff_tills_and_strangers_are_no_members(platform: Platform) -> None:
    staff, till, stranger = new_id(), new_id(), new_id()
    await platform.token("manager", staff)
    await platform.token("till", till)
    for nobody in (staff, till, stranger):
        wanted = ("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"member_id": str(nobody)})
        assert await refusal(state(platform, nobody)) == wanted


@pytest.mark.parametrize("service", ["points", "vouchers"])
async def test_other_services_are_not_told(platform: Platform, service: str) -> None:
    assert await reason(state(platform, new_id(), service)) == "ROLE_NOT_ALLOWED"
