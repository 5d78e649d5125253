"""Staff: making them, changing them, and what becomes of their logins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import jwt
import pytest
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)

from services.common.db import Connection, fetch_value
from services.common.ids import new_id
from services.identity.tests.staff_help import (
    ADMIN,
    BRAND_MANAGER,
    CASHIER,
    MANAGER,
    PASSWORD,
    actions,
    brand_for,
    browse,
    create_staff,
    creation,
    log_in,
)
from tests.inprocess import Platform, bearer, reason, refusal, refused_status

Stub = staff_pb2_grpc.StaffServiceStub


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.fixture
async def manager(grpc_channel: grpc.aio.Channel, platform: Platform) -> staff_pb2.Staff:
    """A manager, whose password is PASSWORD."""
    return await create_staff(grpc_channel, await platform.admin(), role=MANAGER)


async def refused_within_a_second(call: Callable[[], Awaitable[object]], since: float) -> str:
    """Returns the reason that a call gets from a second after `since` on, if it gets it by then."""
    await asyncio.sleep(max(0.0, since + 0.95 - time.monotonic()))
    return await reason(call())


def role_of(token: str) -> str:
    """Returns the role that a token carries."""
    return str(jwt.decode(token, options={"verify_signature": False})["role"])


async def refresh(channel: grpc.aio.Channel, token: auth_pb2.AccessToken) -> auth_pb2.AccessToken:
    """Returns the next tokens of a login."""
    stub = auth_pb2_grpc.AuthServiceStub(channel)
    request = auth_pb2.RefreshSessionRequest(refresh_token=token.refresh_token)
    return (await stub.RefreshSession(request)).token


@pytest.mark.covers("I6 StaffService.CreateStaff", "I6 StaffService.GetStaff")
@pytest.mark.parametrize("role", [ADMIN, MANAGER, CASHIER, BRAND_MANAGER])
async def test_created_staff_are_read_and_log_in_with_their_role(
    grpc_stub: Stub,
    platform: Platform,
    admin: list[tuple[str, str]],
    role: permission_pb2.Role.ValueType,
) -> None:
    brand, name = await brand_for(platform, role), f"Mixed.Case-{new_id()}"
    request = creation(user_name=name, full_name="  Grace Hopper ", role=role, **brand)
    made = (await grpc_stub.CreateStaff(request, metadata=admin)).staff
    assert (made.user_name, made.full_name) == (request.user_name.lower(), "Grace Hopper")
    assert (made.role, made.enabled) == (role, True)
    assert abs(made.created_at.ToSeconds() - time.time()) < 60
    read = await grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=made.id), metadata=admin)
    assert read.staff == made
    token = await log_in(platform.channels["identity"], request.user_name.upper())
    claims = jwt.decode(token.access_token, options={"verify_signature": False})
    assert claims["sub"] == made.id
    assert f"ROLE_{claims['role'].upper()}" == permission_pb2.Role.Name(role)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"user_name": ""}, "user_name"),
        ({"user_name": "ab"}, "user_name"),
        ({"user_name": "1abc"}, "user_name"),
        ({"user_name": "a b c"}, "user_name"),
        ({"user_name": "a@b.example"}, "user_name"),
        ({"user_name": "abc\n"}, "user_name"),
        ({"user_name": "a" * 65}, "user_name"),
        ({"full_name": ""}, "full_name"),
        ({"full_name": " \t"}, "full_name"),
        ({"full_name": "\u00a0\u2003"}, "full_name"),
        ({"full_name": "x" * 121}, "full_name"),
        ({"role": permission_pb2.ROLE_UNSPECIFIED}, "role"),
        ({"role": permission_pb2.ROLE_MEMBER}, "role"),
        ({"role": permission_pb2.ROLE_TILL}, "role"),
        ({"role": 99}, "role"),
        ({"password": ""}, "password"),
        ({"password": "x" * 129}, "password"),
    ],
)
async def test_a_creation_that_breaks_a_rule_is_refused_with_the_field(
    grpc_stub: Stub, admin: list[tuple[str, str]], fields: dict[str, object], field: str
) -> None:
    status, code = await refused_status(grpc_stub.CreateStaff(creation(**fields), metadata=admin))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(status)


@pytest.mark.covers("I6 StaffService.CreateStaff")
@pytest.mark.parametrize(("password", "rule"), [("Sh0rt!!", "length"), ("password123", "common")])
async def test_weak_first_passwords_are_refused(
    grpc_stub: Stub,
    admin: list[tuple[str, str]],
    manager: staff_pb2.Staff,
    password: str,
    rule: str,
) -> None:
    calls: list[Any] = [
        grpc_stub.CreateStaff(creation(password=password), metadata=admin),
        grpc_stub.ResetStaffPassword(
            staff_pb2.ResetStaffPasswordRequest(staff_id=manager.id, password=password), metadata=admin
        ),
    ]
    for call in calls:
        assert await refusal(call) == (
            "PASSWORD_TOO_WEAK",
            grpc.StatusCode.INVALID_ARGUMENT,
            {"rule": rule},
        )


async def test_a_user_name_that_holds_somebodys_phone_number_is_still_a_user_name(
    grpc_channel: grpc.aio.Channel, platform: Platform
) -> None:
    phone = (await platform.member()).phone
    name = f"tom{phone.removeprefix('+1')}"
    made = await create_staff(grpc_channel, await platform.admin(), user_name=name)
    token = await log_in(grpc_channel, name)
    assert jwt.decode(token.access_token, options={"verify_signature": False})["sub"] == made.id
    for _ in range(10):
        assert await reason(log_in(grpc_channel, name, "wrong horse")) == "CREDENTIALS_NOT_VALID"
    assert await reason(log_in(grpc_channel, name)) == "TOO_MANY_REQUESTS"
    assert await reason(log_in(grpc_channel, phone)) == "CREDENTIALS_NOT_VALID"


@pytest.mark.covers("I6 StaffService.ListStaff")
async def test_staff_are_listed_by_user_name_page_by_page_and_by_role(
    grpc_stub: Stub, grpc_channel: grpc.aio.Channel, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    token, mark = await platform.admin(), new_id().hex
    for letter, role in zip("cabed", [MANAGER, CASHIER, MANAGER, BRAND_MANAGER, MANAGER], strict=True):
        brand = await brand_for(platform, role)
        await create_staff(grpc_channel, token, user_name=f"x{mark}{letter}", role=role, **brand)

    async def names(role: permission_pb2.Role.ValueType) -> list[str]:
        found: list[str] = []
        page_token = ""
        while True:
            request = staff_pb2.ListStaffRequest(page_size=2, page_token=page_token, role=role)
            reply = await grpc_stub.ListStaff(request, metadata=admin)
            assert len(reply.staff) <= 2
            assert not role or {staff.role for staff in reply.staff} <= {role}
            found += [staff.user_name for staff in reply.staff]
            page_token = reply.next_page_token
            if not page_token:
                assert len(found) == len(set(found))
                return [name.removeprefix(f"x{mark}") for name in found if mark in name]

    assert await names(permission_pb2.ROLE_UNSPECIFIED) == ["a", "b", "c", "d", "e"]
    assert await names(MANAGER) == ["b", "c", "d"]
    assert await names(permission_pb2.ROLE_MEMBER) == []
    first = await grpc_stub.ListStaff(staff_pb2.ListStaffRequest(page_size=1), metadata=admin)
    other = staff_pb2.ListStaffRequest(page_token=first.next_page_token, role=MANAGER)
    assert await reason(grpc_stub.ListStaff(other, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"


def changes(stub: Stub, staff_id: str) -> list[tuple[Callable[..., Any], Any]]:
    """Returns every call that names staff."""
    return [
        (stub.GetStaff, staff_pb2.GetStaffRequest(staff_id=staff_id)),
        (stub.ChangeStaffRole, staff_pb2.ChangeStaffRoleRequest(staff_id=staff_id, role=CASHIER)),
        (
            stub.ResetStaffPassword,
            staff_pb2.ResetStaffPasswordRequest(staff_id=staff_id, password=PASSWORD),
        ),
        (stub.DisableStaff, staff_pb2.DisableStaffRequest(staff_id=staff_id)),
        (stub.EnableStaff, staff_pb2.EnableStaffRequest(staff_id=staff_id)),
    ]


@pytest.mark.covers("I6 StaffService.CreateStaff")
async def test_only_admins_manage_staff(
    grpc_stub: Stub, platform: Platform, manager: staff_pb2.Staff
) -> None:
    calls: list[tuple[Callable[..., Any], Any]] = [
        *changes(grpc_stub, manager.id),
        (grpc_stub.CreateStaff, creation()),
        (grpc_stub.ListStaff, staff_pb2.ListStaffRequest()),
    ]
    tokens = {
        role: await platform.token(role) for role in ("till", "manager", "cashier", "brand_manager")
    } | {"member": (await platform.member()).token}
    for call, request in calls:
        assert await reason(call(request)) == "TOKEN_MISSING"
        for role, token in tokens.items():
            assert await refusal(call(request, metadata=bearer(token))) == (
                "ROLE_NOT_ALLOWED",
                grpc.StatusCode.PERMISSION_DENIED,
                {"role": role},
            )
    assert await actions(platform, manager.id) == ["staff.created"]


@pytest.mark.covers("I6 StaffService.GetStaff")
async def test_what_is_not_staff_is_not_found_and_not_changed(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    member = await platform.member()
    for staff_id in (str(new_id()), str(member.id)):
        for call, request in changes(grpc_stub, staff_id):
            assert await refusal(call(request, metadata=admin)) == (
                "STAFF_NOT_FOUND",
                grpc.StatusCode.NOT_FOUND,
                {"staff_id": staff_id},
            )
    for call, request in changes(grpc_stub, "42"):
        assert await reason(call(request, metadata=admin)) == "VALIDATION_FAILED"
    members = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    me = await members.GetMe(member_pb2.GetMeRequest(), metadata=bearer(member.token))
    assert (me.member.state, me.member.has_password) == (member_pb2.MEMBER_STATE_ACTIVE, False)


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
async def test_a_changed_role_ends_the_logins_everywhere_and_the_next_one_has_it(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    manager: staff_pb2.Staff,
    admin: list[tuple[str, str]],
) -> None:
    old = await log_in(grpc_channel, manager.user_name)
    await browse(platform, old.access_token)
    request = staff_pb2.ChangeStaffRoleRequest(staff_id=manager.id, role=ADMIN)
    changed = await grpc_stub.ChangeStaffRole(request, metadata=admin)
    at = time.monotonic()
    assert changed.staff.role == ADMIN
    refused = await refused_within_a_second(lambda: browse(platform, old.access_token), at)
    assert refused == "SESSION_ENDED"
    assert await reason(refresh(grpc_channel, old)) == "SESSION_ENDED"
    new = await log_in(grpc_channel, manager.user_name)
    assert role_of(new.access_token) == "admin"
    await grpc_stub.ListStaff(staff_pb2.ListStaffRequest(), metadata=bearer(new.access_token))
    assert await actions(platform, manager.id) == ["staff.created", "staff.role_changed"]


async def test_the_role_that_they_have_changes_nothing(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    manager: staff_pb2.Staff,
    admin: list[tuple[str, str]],
) -> None:
    token = await log_in(grpc_channel, manager.user_name)
    request = staff_pb2.ChangeStaffRoleRequest(staff_id=manager.id, role=MANAGER)
    assert (await grpc_stub.ChangeStaffRole(request, metadata=admin)).staff == manager
    await refresh(grpc_channel, token)
    assert await actions(platform, manager.id) == ["staff.created"]


@pytest.mark.covers("I6 StaffService.DisableStaff", "I6 StaffService.EnableStaff")
async def test_disabled_staff_are_refused_everywhere_within_a_second_until_enabled(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    manager: staff_pb2.Staff,
    admin: list[tuple[str, str]],
) -> None:
    old = await log_in(grpc_channel, manager.user_name)
    await browse(platform, old.access_token)
    disable = staff_pb2.DisableStaffRequest(staff_id=manager.id)
    disabled = await grpc_stub.DisableStaff(disable, metadata=admin)
    at = time.monotonic()
    assert disabled.staff.enabled is False
    refused = await refused_within_a_second(lambda: browse(platform, old.access_token), at)
    assert refused == "ACCOUNT_SUSPENDED"
    assert await reason(refresh(grpc_channel, old)) == "ACCOUNT_SUSPENDED"
    assert await reason(log_in(grpc_channel, manager.user_name)) == "ACCOUNT_SUSPENDED"
    assert (await grpc_stub.DisableStaff(disable, metadata=admin)).staff == disabled.staff

    enable = staff_pb2.EnableStaffRequest(staff_id=manager.id)
    enabled = (await grpc_stub.EnableStaff(enable, metadata=admin)).staff
    at = time.monotonic()
    assert (await grpc_stub.EnableStaff(enable, metadata=admin)).staff == enabled
    enabled.etag = manager.etag
    assert enabled == manager
    new = await log_in(grpc_channel, manager.user_name)
    await asyncio.sleep(max(0.0, at + 0.95 - time.monotonic()))
    await browse(platform, new.access_token)
    assert await reason(browse(platform, old.access_token)) == "SESSION_ENDED"
    done = ["staff.created", "staff.disabled", "staff.enabled"]
    assert await actions(platform, manager.id) == done


@pytest.mark.covers("I6 StaffService.ResetStaffPassword")
async def test_a_reset_password_replaces_the_old_one_and_ends_the_logins(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    manager: staff_pb2.Staff,
    admin: list[tuple[str, str]],
) -> None:
    old = await log_in(grpc_channel, manager.user_name)
    await browse(platform, old.access_token)
    request = staff_pb2.ResetStaffPasswordRequest(staff_id=manager.id, password="another horse altogether")
    await grpc_stub.ResetStaffPassword(request, metadata=admin)
    at = time.monotonic()
    assert await reason(log_in(grpc_channel, manager.user_name)) == "CREDENTIALS_NOT_VALID"
    refused = await refused_within_a_second(lambda: browse(platform, old.access_token), at)
    assert refused == "SESSION_ENDED"
    assert await reason(refresh(grpc_channel, old)) == "SESSION_ENDED"
    await log_in(grpc_channel, manager.user_name, request.password)
    assert await actions(platform, manager.id) == ["staff.created", "staff.password_reset"]


async def test_resetting_the_password_of_disabled_staff_does_not_let_them_in(
    grpc_stub: Stub, grpc_channel: grpc.aio.Channel, manager: staff_pb2.Staff, admin: list[tuple[str, str]]
) -> None:
    await grpc_stub.DisableStaff(staff_pb2.DisableStaffRequest(staff_id=manager.id), metadata=admin)
    request = staff_pb2.ResetStaffPasswordRequest(staff_id=manager.id, password=PASSWORD)
    await grpc_stub.ResetStaffPassword(request, metadata=admin)
    assert await reason(log_in(grpc_channel, manager.user_name)) == "ACCOUNT_SUSPENDED"


@pytest.mark.covers("I6 StaffService.CreateStaff")
async def test_nothing_of_a_password_is_answered_logged_in_the_audit_or_kept(
    platform: Platform, grpc_channel: grpc.aio.Channel, manager: staff_pb2.Staff
) -> None:
    stub = audit_pb2_grpc.AuditServiceStub(grpc_channel)
    listed = await stub.ListAuditEntries(
        audit_pb2.ListAuditEntriesRequest(target_id=manager.id), metadata=bearer(await platform.admin())
    )

    async def kept(connection: Connection) -> str:
        query = "SELECT password_hash FROM accounts WHERE id = %(id)s"
        return str(await fetch_value(connection, query, id=manager.id))

    stored = await platform.databases["identity"].read(kept)
    assert stored.startswith("$argon2id$")
    for secret in (PASSWORD, stored):
        assert secret not in str(listed)
