"""Changing and deleting staff, lists of them, and etags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from scrip.common.v1 import list_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, staff_pb2, staff_pb2_grpc

from services.common.ids import new_id
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, outcome, outcomes, tally
from services.identity.tests.staff_help import (
    ADMIN,
    CASHIER,
    MANAGER,
    PASSWORD,
    actions,
    browse,
    create_staff,
    creation,
    log_in,
    new_user_name,
)
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, eventually, reason, refusal

Stub = staff_pb2_grpc.StaffServiceStub
Update, Delete = staff_pb2.UpdateStaffRequest, staff_pb2.DeleteStaffRequest


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.fixture
async def one(grpc_stub: Stub, admin: list[tuple[str, str]]) -> staff_pb2.Staff:
    """A manager."""
    return (await grpc_stub.CreateStaff(creation(role=MANAGER), metadata=admin)).staff


@pytest.mark.covers("I6 StaffService.UpdateStaff")
async def test_what_is_given_is_changed_and_the_rest_stays(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
    one: staff_pb2.Staff,
) -> None:
    name = new_user_name()
    login = await log_in(grpc_channel, one.user_name)
    renamed = (
        await grpc_stub.UpdateStaff(Update(staff_id=one.id, full_name=" Ada King "), metadata=admin)
    ).staff
    assert (renamed.full_name, renamed.user_name, renamed.role) == ("Ada King", one.user_name, MANAGER)
    moved = (
        await grpc_stub.UpdateStaff(Update(staff_id=one.id, user_name=name.upper()), metadata=admin)
    ).staff
    assert (moved.full_name, moved.user_name) == ("Ada King", name)
    assert len({one.etag, renamed.etag, moved.etag}) == 3
    same = Update(staff_id=one.id, user_name=name, full_name="Ada King")
    assert (await grpc_stub.UpdateStaff(same, metadata=admin)).staff == moved
    assert (
        await grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=one.id), metadata=admin)
    ).staff == moved
    await browse(platform, login.access_token)
    await log_in(grpc_channel, name)
    assert await reason(log_in(grpc_channel, one.user_name)) == "CREDENTIALS_NOT_VALID"
    assert await actions(platform, one.id) == ["staff.created", "staff.updated", "staff.updated"]


async def test_the_audit_list_tells_the_user_name_and_no_other_name(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]], one: staff_pb2.Staff
) -> None:
    """The list outlives the account, so what is erased with it does not belong there."""
    name = new_user_name()
    change = Update(staff_id=one.id, user_name=name, full_name="Katherine Johnson")
    await grpc_stub.UpdateStaff(change, metadata=admin)
    stub = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=one.id, action="staff.updated")
    [entry] = (await stub.ListAuditEntries(request, metadata=admin)).entries
    assert MessageToDict(entry.details) == {"full_name_changed": True, "user_name": [one.user_name, name]}


async def test_a_user_name_that_is_taken_is_refused(
    grpc_stub: Stub, admin: list[tuple[str, str]], one: staff_pb2.Staff
) -> None:
    other = (await grpc_stub.CreateStaff(creation(), metadata=admin)).staff
    call = grpc_stub.UpdateStaff(Update(staff_id=one.id, user_name=other.user_name), metadata=admin)
    assert await reason(call) == "USER_NAME_TAKEN"


@pytest.mark.parametrize(
    "fields",
    [{"full_name": " "}, {"full_name": ""}, {"user_name": "a b"}, {"user_name": ""}, {"staff_id": "x"}],
)
async def test_malformed_changes_are_refused(
    grpc_stub: Stub, admin: list[tuple[str, str]], one: staff_pb2.Staff, fields: dict[str, Any]
) -> None:
    request = Update(**{"staff_id": one.id, **fields})
    assert await reason(grpc_stub.UpdateStaff(request, metadata=admin)) == "VALIDATION_FAILED"


@pytest.mark.covers("I6 StaffService.DeleteStaff")
async def test_deleted_staff_are_out_and_forgotten_within_a_second(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
    one: staff_pb2.Staff,
) -> None:
    login = await log_in(grpc_channel, one.user_name)
    await browse(platform, login.access_token)
    await grpc_stub.DeleteStaff(Delete(staff_id=one.id), metadata=admin)

    async def refused() -> None:
        assert await reason(browse(platform, login.access_token)) == "ACCOUNT_CLOSED"

    await eventually(refused, seconds=1)
    assert await reason(log_in(grpc_channel, one.user_name)) == "CREDENTIALS_NOT_VALID"
    for call in (
        grpc_stub.GetStaff(staff_pb2.GetStaffRequest(staff_id=one.id), metadata=admin),
        grpc_stub.DeleteStaff(Delete(staff_id=one.id), metadata=admin),
        grpc_stub.EnableStaff(staff_pb2.EnableStaffRequest(staff_id=one.id), metadata=admin),
        grpc_stub.UpdateStaff(Update(staff_id=one.id, full_name="X"), metadata=admin),
    ):
        assert await refusal(call) == (
            "STAFF_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"staff_id": one.id},
        )
    listed = staff_pb2.ListStaffRequest(query=one.user_name)
    assert list((await grpc_stub.ListStaff(listed, metadata=admin)).staff) == []
    again = creation(user_name=one.user_name)
    assert (await grpc_stub.CreateStaff(again, metadata=admin)).staff.id != one.id, "the name is free again"
    assert await actions(platform, one.id) == ["staff.created", "staff.deleted"]


async def test_the_last_admin_is_not_deleted_however_many_try(platform: Platform) -> None:
    async with own_identity(platform) as own:
        stub = Stub(own.channel)
        first = (await log_in(own.channel, "admin", ADMIN_PASSWORD)).access_token
        second = await create_staff(own.channel, first, role=ADMIN)
        third = (await log_in(own.channel, second.user_name)).access_token
        everybody = staff_pb2.ListStaffRequest(role=ADMIN)
        admins = (await stub.ListStaff(everybody, metadata=bearer(third))).staff
        assert len(admins) == 2
        results = await outcomes(
            stub.DeleteStaff(Delete(staff_id=each.id), metadata=bearer(token))
            for each in admins
            for token in (first, third)
        )
        assert tally(results)[DONE] == 1
        assert set(results) <= {DONE, "LAST_ADMIN", "STAFF_NOT_FOUND", "ACCOUNT_CLOSED"}
        [left] = {
            found[0].id
            for token in (first, third)
            if not isinstance(found := await _admins(stub, everybody, token), str)
        }
        assert left in {each.id for each in admins}


async def _admins(stub: Stub, request: staff_pb2.ListStaffRequest, token: str) -> Any:
    """Returns the admins, or why this token may not know."""
    call = stub.ListStaff(request, metadata=bearer(token))
    result = await outcome(call)
    return list((await stub.ListStaff(request, metadata=bearer(token))).staff) if result == DONE else result


CHANGES: list[tuple[str, Callable[[str, str], Any]]] = [
    ("UpdateStaff", lambda who, etag: Update(staff_id=who, etag=etag, full_name="Ada King")),
    (
        "ChangeStaffRole",
        lambda who, etag: staff_pb2.ChangeStaffRoleRequest(staff_id=who, etag=etag, role=CASHIER),
    ),
    (
        "ResetStaffPassword",
        lambda who, etag: staff_pb2.ResetStaffPasswordRequest(
            staff_id=who, etag=etag, password=f"{PASSWORD}!"
        ),
    ),
    ("DisableStaff", lambda who, etag: staff_pb2.DisableStaffRequest(staff_id=who, etag=etag)),
    ("EnableStaff", lambda who, etag: staff_pb2.EnableStaffRequest(staff_id=who, etag=etag)),
    ("DeleteStaff", lambda who, etag: Delete(staff_id=who, etag=etag)),
]


@pytest.mark.covers("I6 StaffService.ChangeStaffRole", "I6 StaffService.EnableStaff")
async def test_each_change_needs_the_etag_as_it_is_and_gives_another(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]], one: staff_pb2.Staff
) -> None:
    etag, old = one.etag, "0"
    for rpc, request in CHANGES:
        call = getattr(grpc_stub, rpc)
        refused = await refusal(call(request(one.id, old), metadata=admin))
        assert refused == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": etag}), rpc
        reply = await call(request(one.id, etag), metadata=admin)
        if rpc != "DeleteStaff":
            assert reply.staff.etag not in (etag, old), rpc
            etag, old = reply.staff.etag, etag
    assert len(await actions(platform, one.id)) == 1 + len(CHANGES), "what is refused leaves no entry"


async def test_of_many_changes_by_one_etag_one_is_made(
    grpc_stub: Stub, admin: list[tuple[str, str]], one: staff_pb2.Staff
) -> None:
    results = await outcomes(
        grpc_stub.UpdateStaff(Update(staff_id=one.id, etag=one.etag, full_name=f"Ada {n}"), metadata=admin)
        for n in range(10)
    )
    assert tally(results) == {DONE: 1, "ETAG_MISMATCH": 9}


async def test_changes_of_every_kind_at_once_do_not_wait_for_each_other_for_ever(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    before = platform.deadlocks()
    two = [(await grpc_stub.CreateStaff(creation(), metadata=admin)).staff for _ in range(2)]
    calls = [
        getattr(grpc_stub, rpc)(request(who.id, ""), metadata=admin)
        for _ in range(3)
        for who in two
        for rpc, request in CHANGES[:-1]
    ]
    assert tally(await outcomes(calls)) == {DONE: len(calls)}
    assert platform.deadlocks() == before


@pytest.mark.covers("I6 StaffService.ListStaff")
async def test_staff_are_searched_filtered_sorted_and_counted(
    grpc_stub: Stub, admin: list[tuple[str, str]]
) -> None:
    mark = f"s{new_id().hex[:12]}"
    made = []
    for name, role in (("b", CASHIER), ("a", MANAGER), ("c", CASHIER)):
        request = creation(user_name=f"{mark}.{name}", full_name=f"{mark.upper()} {name}", role=role)
        made.append((await grpc_stub.CreateStaff(request, metadata=admin)).staff)
    b, a, c = (staff.id for staff in made)
    await grpc_stub.DisableStaff(staff_pb2.DisableStaffRequest(staff_id=c), metadata=admin)

    async def listed(**fields: Any) -> list[str]:
        found, token = [], ""
        while True:
            request = staff_pb2.ListStaffRequest(page_size=1, page_token=token, **{"query": mark, **fields})
            page = await grpc_stub.ListStaff(request, metadata=admin)
            found += [staff.id for staff in page.staff]
            token = page.next_page_token
            if not token:
                return found

    assert await listed() == await listed(order_by="user_name") == [a, b, c]
    assert await listed(order_by="user_name desc") == [c, b, a]
    assert await listed(order_by="created_at") == [b, a, c]
    assert await listed(order_by="created_at desc") == [c, a, b]
    assert await listed(role=CASHIER) == [b, c]
    assert await listed(enabled=True) == [a, b]
    assert await listed(enabled=False) == [c]
    assert await listed(query=f"{mark.upper()} B") == [b]
    assert await listed(query=mark[1:]) == []
    counted = staff_pb2.ListStaffRequest(query=mark, role=CASHIER, page_size=1, with_total=True)
    assert (await grpc_stub.ListStaff(counted, metadata=admin)).total == list_pb2.ListTotal(count=2)
