"""There is always an active admin: the first is made at the start, and the last one stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest
from pydantic import SecretStr
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, staff_pb2, staff_pb2_grpc

from services.common import caller
from services.common.db import Connection, Database, execute, fetch_values
from services.common.errors import DomainError
from services.common.ids import new_id
from services.identity.staff.commands import change_staff_role, disable_staff, enable_staff
from services.identity.staff.commands import create_staff as create_staff_row
from services.identity.tests.own_identity import OwnIdentity, own_identity
from services.identity.tests.staff_help import ADMIN, CASHIER, create_staff, log_in
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, reason, refusal


@pytest.fixture(scope="module")
async def started(platform: Platform) -> AsyncIterator[tuple[OwnIdentity, list[str]]]:
    """An identity of two servers, and the admins that there were when both had started."""
    async with own_identity(platform, servers=2) as own:
        yield own, await active_admins(own.database)


@pytest.fixture
async def own(started: tuple[OwnIdentity, list[str]]) -> OwnIdentity:
    """The identity with its first admin, and no others."""
    own, [first] = started

    async def reset(connection: Connection) -> None:
        await execute(connection, "DELETE FROM staff WHERE id <> %(id)s", id=first)
        await execute(connection, "DELETE FROM sessions")
        await execute(connection, "DELETE FROM known_places")
        await execute(connection, "DELETE FROM accounts WHERE id <> %(id)s", id=first)
        await execute(connection, "UPDATE staff SET role = 'admin'")
        await execute(connection, "UPDATE accounts SET status = 'ACTIVE'")

    await own.database.run(reset)
    return own


async def active_admins(database: Database) -> list[str]:
    """Returns their ids."""

    async def find(connection: Connection) -> list[str]:
        found = await fetch_values(
            connection,
            """
            SELECT s.id FROM staff s JOIN accounts a ON a.id = s.id
            WHERE s.role = 'admin' AND a.status = 'ACTIVE' ORDER BY s.id
            """,
        )
        return [str(one) for one in found]

    return await database.read(find)


async def test_servers_that_start_at_once_make_one_first_admin(
    started: tuple[OwnIdentity, list[str]],
) -> None:
    own, admins = started
    assert len(admins) == 1
    for channel in own.channels:
        await log_in(channel, "admin", ADMIN_PASSWORD)


async def test_a_later_start_leaves_the_first_admin_as_it_is(platform: Platform, own: OwnIdentity) -> None:
    async with own_identity(
        platform,
        database_url=own.database_url,
        admin_password=SecretStr("some other horse"),
        admin_user_name="root",
    ) as again:
        await log_in(again.channel, "admin", ADMIN_PASSWORD)
        assert await reason(log_in(again.channel, "root", "some other horse")) == "CREDENTIALS_NOT_VALID"
    assert len(await active_admins(own.database)) == 1


async def test_without_a_password_there_is_no_first_admin(platform: Platform) -> None:
    async with own_identity(platform, admin_password=SecretStr("")) as nobody:
        assert await active_admins(nobody.database) == []
        assert await reason(log_in(nobody.channel, "admin", "")) == "VALIDATION_FAILED"
        assert await reason(log_in(nobody.channel, "admin", ADMIN_PASSWORD)) == "CREDENTIALS_NOT_VALID"


async def test_that_a_member_has_the_first_admins_name_is_said(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with own_identity(platform, admin_password=SecretStr("")) as nobody:
        auth_stub = auth_pb2_grpc.AuthServiceStub(nobody.channel)
        await auth_stub.RegisterMember(
            auth_pb2.RegisterMemberRequest(full_name="Eve", user_name="admin", password=ADMIN_PASSWORD)
        )
        url = nobody.database_url
        async with own_identity(platform, database_url=url):
            assert await active_admins(nobody.database) == []
        assert "set another one" in caplog.text
        async with own_identity(platform, database_url=url, admin_user_name="Root") as again:
            await log_in(again.channel, "root", ADMIN_PASSWORD)
            assert len(await active_admins(nobody.database)) == 1


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
async def test_the_last_active_admin_stays_one(own: OwnIdentity) -> None:
    stub = staff_pb2_grpc.StaffServiceStub(own.channel)
    token = (await log_in(own.channel, "admin", ADMIN_PASSWORD)).access_token
    admin = bearer(token)
    [first] = await active_admins(own.database)

    def removals(staff_id: str) -> list[Any]:
        return [
            stub.DisableStaff(staff_pb2.DisableStaffRequest(staff_id=staff_id), metadata=admin),
            stub.ChangeStaffRole(
                staff_pb2.ChangeStaffRoleRequest(staff_id=staff_id, role=CASHIER), metadata=admin
            ),
        ]

    last: tuple[str, grpc.StatusCode, dict[str, str]]
    last = ("LAST_ADMIN", grpc.StatusCode.FAILED_PRECONDITION, {})
    await create_staff(own.channel, token, role=CASHIER)
    for removal in removals(first):
        assert await refusal(removal) == last
    second = await create_staff(own.channel, token, role=ADMIN)
    await stub.DisableStaff(staff_pb2.DisableStaffRequest(staff_id=second.id), metadata=admin)
    for removal in removals(first):  # one that is disabled does not count
        assert await refusal(removal) == last
    await stub.EnableStaff(staff_pb2.EnableStaffRequest(staff_id=second.id), metadata=admin)
    await removals(first)[1]
    assert await active_admins(own.database) == [second.id]


@pytest.mark.covers("I6 StaffService.DisableStaff")
@pytest.mark.parametrize("round_", range(3))
async def test_two_admins_who_remove_each_other_at_once_leave_one(own: OwnIdentity, round_: int) -> None:
    first = await log_in(own.channel, "admin", ADMIN_PASSWORD)
    [first_id] = await active_admins(own.database)
    second_id = (await create_staff(own.channel, first.access_token, user_name="second", role=ADMIN)).id
    second = await log_in(own.channel, "second")
    calls: list[Any] = []
    for n in range(25):
        stub = staff_pb2_grpc.StaffServiceStub(own.channels[n % 2])
        for token, target in ((first, second_id), (second, first_id)):
            metadata = bearer(token.access_token)
            if (n + round_) % 3:
                disable = staff_pb2.DisableStaffRequest(staff_id=target)
                calls.append(stub.DisableStaff(disable, metadata=metadata))
            else:
                demote = staff_pb2.ChangeStaffRoleRequest(staff_id=target, role=CASHIER)
                calls.append(stub.ChangeStaffRole(demote, metadata=metadata))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert len(await active_admins(own.database)) == 1
    refused = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    known = {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
    assert {error.code() for error in refused} <= known
    [left] = await active_admins(own.database)
    name, password = ("admin", ADMIN_PASSWORD) if left == first_id else ("second", "")
    await (log_in(own.channel, name, password) if password else log_in(own.channel, name))


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
async def test_whatever_fifty_do_to_a_few_admins_at_once_one_stays(
    platform: Platform, own: OwnIdentity
) -> None:
    crowd = Database(own.database_url, pool_size=30)
    actor = caller.Caller(str(new_id()), caller.ADMIN)
    ids = [UUID(staff_id) for staff_id in await active_admins(own.database)]
    for n in range(3):
        made = await crowd.run(
            create_staff_row,
            actor=actor,
            user_name=f"crowd-{n}",
            full_name="Crowd",
            role=caller.ADMIN,
            password_hash="none",
        )
        ids.append(made.id)

    async def change(n: int) -> None:
        staff_id = ids[n % len(ids)]
        try:
            if n % 7 == 0:
                await crowd.run(enable_staff, actor=actor, staff_id=staff_id)
            elif n % 11 == 0:
                await crowd.run(change_staff_role, actor=actor, staff_id=staff_id, role=caller.ADMIN)
            elif n % 2:
                await crowd.run(disable_staff, actor=actor, staff_id=staff_id)
            else:
                await crowd.run(change_staff_role, actor=actor, staff_id=staff_id, role=caller.CASHIER)
        except DomainError as error:
            assert error.reason == "LAST_ADMIN"  # noqa: PT017  # some are refused, some are not

    try:
        for round_ in range(10):
            await asyncio.gather(*(change(n + round_) for n in range(50)))
            assert await active_admins(own.database)
    finally:
        await crowd.close()
