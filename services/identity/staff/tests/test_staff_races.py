"""What is done to staff while something else is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, staff_pb2, staff_pb2_grpc

from services.common import caller
from services.common.db import Database
from services.common.errors import DomainError
from services.common.ids import new_id
from services.identity.members import NewMember, register_member
from services.identity.parts import CONSTRAINTS
from services.identity.staff.commands import create_staff as create_staff_row
from services.identity.tests.staff_help import (
    ADMIN,
    CASHIER,
    MANAGER,
    PASSWORD,
    browse,
    create_staff,
    creation,
    log_in,
    new_user_name,
)
from tests.inprocess import Platform, bearer, reason, refusal

Stub = staff_pb2_grpc.StaffServiceStub


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.mark.covers("I6 StaffService.CreateStaff")
async def test_of_fifty_at_once_one_gets_the_user_name_be_it_staff_or_member(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    crowd = Database(platform.postgres.url("identity"), pool_size=25, constraints=CONSTRAINTS)
    actor, name = caller.Caller(str(new_id()), caller.ADMIN), new_user_name()
    member = NewMember("Ada Lovelace", user_name=name, password_hash="none")
    calls: list[Awaitable[object]] = []
    for _ in range(25):
        calls.append(
            crowd.run(
                create_staff_row,
                actor=actor,
                user_name=name,
                full_name="Grace Hopper",
                role=caller.CASHIER,
                password_hash="none",
            )
        )
        calls.append(
            crowd.run(
                register_member,
                platform.vault,
                platform.notices,
                new=member,
                device_id="",
                session_seconds=3_600,
                language="en",
            )
        )
    results = await asyncio.gather(*calls, return_exceptions=True)
    await crowd.close()
    refused = [result.reason for result in results if isinstance(result, DomainError)]
    assert refused == ["USER_NAME_TAKEN"] * 49
    spelled = creation(user_name=name.upper())
    assert await refusal(grpc_stub.CreateStaff(spelled, metadata=admin)) == (
        "USER_NAME_TAKEN",
        grpc.StatusCode.ALREADY_EXISTS,
        {},
    )


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
async def test_a_login_that_meets_a_change_has_the_new_role_or_none(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
) -> None:
    token = await platform.admin()
    for _ in range(3):
        made = await create_staff(grpc_channel, token, role=ADMIN)
        logins = [asyncio.create_task(log_in(grpc_channel, made.user_name)) for _ in range(6)]
        await asyncio.sleep(0.15)  # some logins have proved who they are, and some have not
        request = staff_pb2.ChangeStaffRoleRequest(staff_id=made.id, role=CASHIER)
        await grpc_stub.ChangeStaffRole(request, metadata=admin)
        at = time.monotonic()
        tokens = [(await login).access_token for login in logins]
        await asyncio.sleep(max(0.0, at + 0.95 - time.monotonic()))
        for each in tokens:
            listing = grpc_stub.ListStaff(staff_pb2.ListStaffRequest(), metadata=bearer(each))
            assert await reason(listing) in {"SESSION_ENDED", "ROLE_NOT_ALLOWED"}


@pytest.mark.covers("I6 StaffService.ResetStaffPassword")
async def test_a_login_that_meets_a_reset_does_not_outlive_it(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
) -> None:
    token = await platform.admin()
    for _ in range(3):
        made = await create_staff(grpc_channel, token, role=MANAGER)
        logins = [asyncio.create_task(log_in(grpc_channel, made.user_name)) for _ in range(6)]
        request = staff_pb2.ResetStaffPasswordRequest(staff_id=made.id, password="another horse altogether")
        await grpc_stub.ResetStaffPassword(request, metadata=admin)
        at = time.monotonic()
        tokens = await asyncio.gather(*logins, return_exceptions=True)
        await asyncio.sleep(max(0.0, at + 0.95 - time.monotonic()))
        for each in tokens:
            if isinstance(each, auth_pb2.AccessToken):
                assert await reason(browse(platform, each.access_token)) == "SESSION_ENDED"
            else:
                assert isinstance(each, grpc.aio.AioRpcError)
                refused = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
                assert each.code() in refused, "a slow machine lets nobody wait for long"


async def test_a_change_of_the_old_password_that_meets_a_reset_does_not_undo_it(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
) -> None:
    token = await platform.admin()
    stub = auth_pb2_grpc.AuthServiceStub(grpc_channel)
    reset_to, changed_to = "another horse altogether", "a horse of the old password"
    for _ in range(3):
        made = await create_staff(grpc_channel, token, role=MANAGER)
        old = bearer((await log_in(grpc_channel, made.user_name)).access_token)
        change = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=changed_to)
        changing = asyncio.ensure_future(stub.ChangePassword(change, metadata=old))
        await asyncio.sleep(0.02)
        reset = staff_pb2.ResetStaffPasswordRequest(staff_id=made.id, password=reset_to)
        await grpc_stub.ResetStaffPassword(reset, metadata=admin)
        await asyncio.gather(changing, return_exceptions=True)
        await log_in(grpc_channel, made.user_name, reset_to)
        assert await reason(log_in(grpc_channel, made.user_name, changed_to)) == "CREDENTIALS_NOT_VALID"
