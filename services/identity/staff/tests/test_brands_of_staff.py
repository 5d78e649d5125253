"""The brand that a brand manager works for: who has one, what tokens say of it, and what a change does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import jwt
import pytest
from google.protobuf.json_format import MessageToDict
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    myself_pb2,
    myself_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)
from scrip.promos.v1 import brand_pb2, brand_pb2_grpc

from services.common.db import Connection, execute
from services.common.ids import new_id
from services.identity.staff.tests.test_staff import refused_within_a_second
from services.identity.tests.own_identity import own_identity
from services.identity.tests.staff_help import (
    BRAND_MANAGER,
    CASHIER,
    MANAGER,
    actions,
    create_staff,
    creation,
    log_in,
    new_brand,
)
from tests.inprocess import Platform, bearer, reason, refusal, refused_status

Stub = staff_pb2_grpc.StaffServiceStub
Update, ChangeRole = staff_pb2.UpdateStaffRequest, staff_pb2.ChangeStaffRoleRequest
Metadata = list[tuple[str, str]]


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> Metadata:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.fixture
async def one(grpc_channel: grpc.aio.Channel, platform: Platform) -> staff_pb2.Staff:
    """A brand manager."""
    brand = await new_brand(platform)
    return await create_staff(grpc_channel, await platform.admin(), role=BRAND_MANAGER, brand_id=brand)


def brand_of(token: str) -> str | None:
    """Returns the brand that a token carries."""
    brand: str | None = jwt.decode(token, options={"verify_signature": False}).get("brand")
    return brand


async def fields_of(call: Any) -> str:
    """Returns a refusal for a field that breaks a rule, as text."""
    status, code = await refused_status(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    return str(status)


@pytest.mark.covers("C6 StaffService.CreateStaff", "C6 MyselfService.GetMyself")
async def test_a_brand_manager_has_a_brand_and_every_token_says_it(
    grpc_stub: Stub, grpc_channel: grpc.aio.Channel, platform: Platform, admin: Metadata
) -> None:
    brand = await new_brand(platform)
    request = creation(role=BRAND_MANAGER, brand_id=brand)
    made = (await grpc_stub.CreateStaff(request, metadata=admin)).staff
    assert made.brand_id == brand
    read = await grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=made.id), metadata=admin)
    assert read.staff == made
    login = await log_in(grpc_channel, made.user_name)
    refresh = auth_pb2.RefreshSessionRequest(refresh_token=login.refresh_token)
    next_one = (await auth_pb2_grpc.AuthServiceStub(grpc_channel).RefreshSession(refresh)).token
    assert brand_of(login.access_token) == brand_of(next_one.access_token) == brand
    stub = myself_pb2_grpc.MyselfServiceStub(grpc_channel)
    me = await stub.GetMyself(myself_pb2.GetMyselfRequest(), metadata=bearer(next_one.access_token))
    assert me.myself.brand_id == brand


async def test_others_have_none(grpc_stub: Stub, grpc_channel: grpc.aio.Channel, admin: Metadata) -> None:
    made = (await grpc_stub.CreateStaff(creation(role=CASHIER), metadata=admin)).staff
    assert made.brand_id == ""
    login = await log_in(grpc_channel, made.user_name)
    assert brand_of(login.access_token) is None
    stub = myself_pb2_grpc.MyselfServiceStub(grpc_channel)
    me = await stub.GetMyself(myself_pb2.GetMyselfRequest(), metadata=bearer(login.access_token))
    assert me.myself.brand_id == ""


async def test_a_brand_goes_with_the_role(grpc_stub: Stub, admin: Metadata, one: staff_pb2.Staff) -> None:
    brand = str(new_id())
    for call in (
        grpc_stub.CreateStaff(creation(role=BRAND_MANAGER), metadata=admin),
        grpc_stub.CreateStaff(creation(role=CASHIER, brand_id=brand), metadata=admin),
        grpc_stub.CreateStaff(creation(role=CASHIER, brand_id="x"), metadata=admin),
        grpc_stub.ChangeStaffRole(ChangeRole(staff_id=one.id, role=BRAND_MANAGER), metadata=admin),
        grpc_stub.ChangeStaffRole(ChangeRole(staff_id=one.id, role=MANAGER, brand_id=brand), metadata=admin),
        grpc_stub.UpdateStaff(Update(staff_id=one.id, brand_id=""), metadata=admin),
        grpc_stub.UpdateStaff(Update(staff_id=one.id, brand_id="x"), metadata=admin),
        grpc_stub.ListStaff(staff_pb2.ListStaffRequest(brand_id="x"), metadata=admin),
    ):
        assert "brand_id" in await fields_of(call)
    manager = (await grpc_stub.CreateStaff(creation(role=MANAGER), metadata=admin)).staff
    call = grpc_stub.UpdateStaff(Update(staff_id=manager.id, brand_id=brand), metadata=admin)
    assert "brand_id" in await fields_of(call)
    assert (await grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=one.id), metadata=admin)).staff == one


@pytest.mark.covers("C6 StaffService.UpdateStaff")
async def test_another_brand_ends_the_logins_everywhere_and_the_next_one_has_it(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: Metadata,
    one: staff_pb2.Staff,
) -> None:
    old, brand = await log_in(grpc_channel, one.user_name), await new_brand(platform)
    stub = myself_pb2_grpc.MyselfServiceStub(grpc_channel)

    async def use() -> object:
        return await stub.GetMyself(myself_pb2.GetMyselfRequest(), metadata=bearer(old.access_token))

    await use()
    same = Update(staff_id=one.id, brand_id=one.brand_id, full_name="Ada King")
    await grpc_stub.UpdateStaff(same, metadata=admin)
    await use()
    changed = (await grpc_stub.UpdateStaff(Update(staff_id=one.id, brand_id=brand), metadata=admin)).staff
    since = time.monotonic()
    assert (changed.brand_id, changed.full_name) == (brand, "Ada King")
    assert changed.etag != one.etag
    assert await refused_within_a_second(use, since) == "SESSION_ENDED"
    assert brand_of((await log_in(grpc_channel, one.user_name)).access_token) == brand
    assert await actions(platform, one.id) == ["staff.created", "staff.updated", "staff.updated"]
    audit = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])
    entries = audit_pb2.ListAuditEntriesRequest(target_id=one.id, action="staff.updated", page_size=1)
    [entry] = (await audit.ListAuditEntries(entries, metadata=admin)).entries
    assert MessageToDict(entry.details) == {"brand_id": [one.brand_id, brand]}


@pytest.mark.covers("C6 StaffService.ChangeStaffRole")
async def test_a_role_is_changed_with_its_brand(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: Metadata,
    one: staff_pb2.Staff,
) -> None:
    brand = await new_brand(platform)
    old = await log_in(grpc_channel, one.user_name)

    async def change(**fields: Any) -> staff_pb2.Staff:
        return (await grpc_stub.ChangeStaffRole(ChangeRole(staff_id=one.id, **fields), metadata=admin)).staff

    same = await change(role=BRAND_MANAGER, brand_id=one.brand_id)
    assert same == one
    moved = await change(role=BRAND_MANAGER, brand_id=brand)
    assert moved.brand_id == brand
    refresh = auth_pb2.RefreshSessionRequest(refresh_token=old.refresh_token)
    again = auth_pb2_grpc.AuthServiceStub(grpc_channel).RefreshSession(refresh)
    assert await reason(again) == "SESSION_ENDED"
    assert (await change(role=MANAGER)).brand_id == ""
    assert (await change(role=BRAND_MANAGER, brand_id=brand)).brand_id == brand


def given(stub: Stub, one: staff_pb2.Staff, brand: str, admin: Metadata) -> list[Any]:
    """Returns the calls that give a brand to a new brand manager, and to this one in both ways."""
    return [
        stub.CreateStaff(creation(role=BRAND_MANAGER, brand_id=brand), metadata=admin),
        stub.UpdateStaff(Update(staff_id=one.id, brand_id=brand), metadata=admin),
        stub.ChangeStaffRole(ChangeRole(staff_id=one.id, role=BRAND_MANAGER, brand_id=brand), metadata=admin),
    ]


@pytest.mark.covers(
    "C6 StaffService.CreateStaff",
    "C6 StaffService.UpdateStaff",
    "C6 StaffService.ChangeStaffRole",
    "C6 PromosInternalService.CheckBrand",
)
async def test_nobody_is_given_a_brand_that_is_not_there_or_archived(
    grpc_stub: Stub, platform: Platform, admin: Metadata, one: staff_pb2.Staff
) -> None:
    unknown, archived = str(new_id()), await new_brand(platform)
    await archive(platform, archived, admin)
    for call in given(grpc_stub, one, unknown, admin):
        found = await refusal(call)
        assert found == ("BRAND_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"brand_id": unknown})
    for call in given(grpc_stub, one, archived, admin):
        found = await refusal(call)
        assert found == ("BRAND_ARCHIVED", grpc.StatusCode.FAILED_PRECONDITION, {"brand_id": archived})
    assert (await grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=one.id), metadata=admin)).staff == one


async def test_staff_of_a_brand_that_was_archived_can_be_changed_all_the_same(
    grpc_stub: Stub, platform: Platform, admin: Metadata, one: staff_pb2.Staff
) -> None:
    await archive(platform, one.brand_id, admin)
    request = Update(staff_id=one.id, brand_id=one.brand_id, full_name="Ada King")
    assert (await grpc_stub.UpdateStaff(request, metadata=admin)).staff.full_name == "Ada King"
    same = ChangeRole(staff_id=one.id, role=BRAND_MANAGER, brand_id=one.brand_id)
    assert (await grpc_stub.ChangeStaffRole(same, metadata=admin)).staff.brand_id == one.brand_id


async def test_without_promos_nobody_is_given_a_brand_and_all_else_goes_on(
    platform: Platform, admin: Metadata, one: staff_pb2.Staff
) -> None:
    url, nowhere = platform.postgres.url("identity"), "ipv4:127.0.0.1:1"
    async with own_identity(platform, database_url=url, promos_target=nowhere) as own:
        stub = Stub(own.channel)
        calls = given(stub, one, str(new_id()), admin)
        refused = await asyncio.gather(*map(refusal, calls))
        away = ("DEPENDENCY_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, {"dependency": "promos"})
        assert refused == [away] * 3
        assert (await stub.CreateStaff(creation(role=CASHIER), metadata=admin)).staff.brand_id == ""
        request = Update(staff_id=one.id, brand_id=one.brand_id, full_name="Ada King")
        assert (await stub.UpdateStaff(request, metadata=admin)).staff.full_name == "Ada King"


async def archive(platform: Platform, brand_id: str, admin: Metadata) -> None:
    """Archives a brand."""
    stub = brand_pb2_grpc.BrandServiceStub(platform.channels["promos"])
    await stub.ArchiveBrand(brand_pb2.ArchiveBrandRequest(brand_id=brand_id), metadata=admin)


@pytest.mark.covers("C6 StaffService.ListStaff")
async def test_the_managers_of_a_brand_are_listed(
    grpc_stub: Stub, admin: Metadata, one: staff_pb2.Staff
) -> None:
    request = creation(role=BRAND_MANAGER, brand_id=one.brand_id)
    other = (await grpc_stub.CreateStaff(request, metadata=admin)).staff
    listed = staff_pb2.ListStaffRequest(brand_id=one.brand_id, order_by="created_at", with_total=True)
    page = await grpc_stub.ListStaff(listed, metadata=admin)
    assert list(page.staff) == [one, other]
    assert page.total.count == 2


async def test_brand_managers_of_before_go_on_and_have_no_brand(
    grpc_channel: grpc.aio.Channel, platform: Platform, one: staff_pb2.Staff
) -> None:
    async def as_of_old(connection: Connection) -> None:
        await execute(connection, "UPDATE staff SET brand_id = NULL WHERE id = %(id)s", id=one.id)

    await platform.databases["identity"].run(as_of_old)
    assert brand_of((await log_in(grpc_channel, one.user_name)).access_token) is None
