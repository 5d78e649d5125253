"""Looking after members."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, member_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.identity.tests.people import DONE, PASSWORD, People, outcomes, tally
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal

ACTIVE, SUSPENDED = member_pb2.MEMBER_STATE_ACTIVE, member_pb2.MEMBER_STATE_SUSPENDED
CLOSED = member_pb2.MEMBER_STATE_CLOSED


@pytest.fixture
async def manager(platform: Platform) -> str:
    return await platform.token("manager")


async def buy(platform: Platform, member: Member) -> purchase_pb2.RecordPurchaseResponse:
    """Has a till record a receipt of 100.00."""
    request = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=str(new_id()),
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=10_000, quantity=1)],
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    return await stub.RecordPurchase(request, metadata=bearer(await platform.till()))


async def audit_of(people: People, member_id: object) -> list[audit_pb2.AuditEntry]:
    """Returns what staff did to a member, the first first."""
    stub = audit_pb2_grpc.AuditServiceStub(people.channel)
    request = audit_pb2.ListAuditEntriesRequest(target_id=str(member_id))
    reply = await stub.ListAuditEntries(request, metadata=bearer(await people.platform.admin()))
    return list(reversed(reply.entries))


@pytest.mark.covers("I8 MemberAdminService.GetMember")
async def test_staff_read_a_member(people: People, platform: Platform) -> None:
    member = await platform.member()
    for role in ("admin", "manager"):
        shown = await people.get(member.id, await platform.token(role))
        assert shown.etag
        shown.ClearField("etag")
        assert shown == await people.me(member.token)


@pytest.mark.covers("I8 MemberAdminService.GetMember")
async def test_who_is_not_a_member_is_not_found(people: People, platform: Platform, manager: str) -> None:
    staff_id = new_id()
    await platform.token("cashier", staff_id)
    for unknown in (new_id(), staff_id):
        for call in (
            people.get(unknown, manager),
            people.suspend(unknown, manager),
            people.restore(unknown, manager),
        ):
            assert await refusal(call) == (
                "MEMBER_NOT_FOUND",
                grpc.StatusCode.NOT_FOUND,
                {"member_id": str(unknown)},
            )


async def test_a_malformed_id_or_reason_is_refused(people: People, platform: Platform, manager: str) -> None:
    member = await platform.member()
    for call in (
        people.get("me", manager),
        people.suspend("me", manager),
        people.suspend(member.id, manager, why=""),
        people.suspend(member.id, manager, why=" \u3000"),
        people.suspend(member.id, manager, why="a\x00b"),
        people.restore(member.id, manager, why="x" * 501),
    ):
        assert await reason(call) == "VALIDATION_FAILED"
    assert (await people.get(member.id, manager)).state == member_pb2.MEMBER_STATE_ACTIVE


async def test_each_call_is_for_its_roles_alone(people: People, platform: Platform) -> None:
    member = await platform.member()
    look, change = {"admin", "manager", "cashier"}, {"admin", "manager"}
    for role in ("member", "till", "admin", "manager", "cashier", "brand_manager"):
        token = await platform.token(role)
        calls = {
            "list": (people.search(token, page_size=1, query=member.phone), look),
            "get": (people.get(member.id, token), look),
            "suspend": (people.suspend(member.id, token), change),
            "restore": (people.restore(member.id, token), change),
        }
        results = await outcomes(call for call, _ in calls.values())
        for (name, (_, allowed)), result in zip(calls.items(), results, strict=True):
            assert result == (DONE if role in allowed else "ROLE_NOT_ALLOWED"), (role, name)


# Suspending and restoring


@pytest.mark.covers("I8 MemberAdminService.SuspendMember")
async def test_a_suspended_member_is_refused_everywhere_within_a_second(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    assert await people.answers(member.token) == {DONE}
    assert (await people.suspend(member.id, manager)).state == SUSPENDED

    async def refused() -> None:
        assert await people.answers(member.token) == {"ACCOUNT_SUSPENDED"}

    await eventually(refused, seconds=1)
    assert await reason(people.refresh(member.refresh_token)) == "ACCOUNT_SUSPENDED"
    assert await reason(people.log_in_by_phone(member.phone)) == "ACCOUNT_SUSPENDED"


async def test_a_suspended_member_does_not_get_in_by_password_either(people: People, manager: str) -> None:
    made = await people.register()
    await people.suspend(made.member.id, manager)
    assert await reason(people.log_in(made.member.user_name)) == "ACCOUNT_SUSPENDED"
    assert await reason(people.log_in(made.member.user_name, PASSWORD + "!")) == "CREDENTIALS_NOT_VALID"


@pytest.mark.covers("I8 MemberAdminService.RestoreMember")
async def test_a_restored_member_logs_in_again_and_the_old_login_stays_ended(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    await people.suspend(member.id, manager)
    assert (await people.restore(member.id, manager)).state == ACTIVE

    async def ended() -> None:
        assert await people.answers(member.token) == {"SESSION_ENDED"}

    await eventually(ended, seconds=1)
    login = await people.log_in_by_phone(member.phone)
    assert await people.answers(login.access_token) == {DONE}


async def test_the_receipts_of_a_suspended_member_are_kept_without_one(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    await buy(platform, member)
    await people.suspend(member.id, manager)

    async def nobodys() -> None:
        assert (await buy(platform, member)).member_suspended

    await eventually(nobodys)
    await eventually(lambda: people.assert_all_heard(member.id, "SUSPENDED"))
    await people.restore(member.id, manager)
    await eventually(lambda: people.assert_all_heard(member.id, "ACTIVE"))
    await buy(platform, member)


async def test_suspending_twice_is_suspending_once(people: People, platform: Platform, manager: str) -> None:
    member = await platform.member()
    calls = [people.suspend(member.id, manager) for _ in range(50)]
    assert tally(await outcomes(calls)) == {DONE: 50}
    assert tally(await outcomes(people.restore(member.id, manager) for _ in range(50))) == {DONE: 50}
    assert await people.events(member.id) == ["REGISTERED", "FIRST_LOGIN", "SUSPENDED", "RESTORED"]
    assert [entry.action for entry in await audit_of(people, member.id)] == [
        "member.suspended",
        "member.restored",
    ]


@pytest.mark.covers("I8 MemberAdminService.SuspendMember")
async def test_what_staff_did_and_why_is_in_the_audit_list(people: People, platform: Platform) -> None:
    member, staff_id = await platform.member(), new_id()
    token = await platform.token("manager", staff_id)
    await people.suspend(member.id, token, why="points from forged receipts")
    await people.restore(member.id, token, why="the receipts were good")
    entries = await audit_of(people, member.id)
    assert [MessageToDict(entry.details) for entry in entries] == [
        {"reason": "points from forged receipts"},
        {"reason": "the receipts were good"},
    ]
    assert {(entry.actor_id, entry.actor_role, entry.service) for entry in entries} == {
        (str(staff_id), permission_pb2.ROLE_MANAGER, "identity")
    }


@pytest.mark.covers("I8 MemberAdminService.SuspendMember")
async def test_logging_in_and_suspending_at_once_leave_nobody_in(
    people: People, platform: Platform, manager: str
) -> None:
    made = await people.register()
    await outcomes(
        [*(people.log_in(made.member.user_name) for _ in range(5)), people.suspend(made.member.id, manager)]
    )
    query = "SELECT count(*) FROM sessions WHERE account_id = %(id)s AND ended_at IS NULL"
    assert await people.rows("identity", query, id=made.member.id) == [(0,)]


async def test_a_closed_account_can_be_read_but_not_suspended_or_restored(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    await people.close(member.token)
    shown = await people.get(member.id, manager)
    assert (shown.id, shown.state) == (str(member.id), CLOSED)
    assert (shown.full_name, shown.phone, shown.has_password) == ("", "", False)
    for call in (people.suspend(member.id, manager), people.restore(member.id, manager)):
        assert await reason(call) == "MEMBER_NOT_FOUND"
    assert await people.events(member.id) == ["REGISTERED", "FIRST_LOGIN", "CLOSED"]


# Etags


@pytest.mark.covers("I8 MemberAdminService.SuspendMember", "I8 MemberAdminService.RestoreMember")
async def test_a_member_who_changed_since_it_was_read_is_not_suspended_or_restored(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    read = await people.get(member.id, manager)
    await people.update(member.token, full_name="Ada King")
    now = (await people.get(member.id, manager)).etag
    refused = await refusal(people.suspend(member.id, manager, etag=read.etag))
    assert refused == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": now})
    suspended = await people.suspend(member.id, manager, etag=now)
    assert suspended.state == SUSPENDED
    assert await reason(people.restore(member.id, manager, etag=now)) == "ETAG_MISMATCH"
    restored = await people.restore(member.id, manager, etag=suspended.etag)
    assert restored.state == ACTIVE
    assert len({read.etag, now, suspended.etag, restored.etag}) == 4


async def test_every_change_of_a_member_gives_it_another_etag(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    seen = [(await people.get(member.id, manager)).etag]

    async def note() -> None:
        seen.append((await people.get(member.id, manager)).etag)

    await people.update(member.token, full_name="Ada King")
    await note()
    await people.update(member.token, birthday="1990-12-10")
    await note()
    await people.consent(member.token, shares=True)
    await note()
    await people.suspend(member.id, manager)
    await note()
    await people.restore(member.id, manager)
    await note()
    await people.log_in_by_phone(member.phone)
    assert (await people.get(member.id, manager)).etag == seen[-1], "logging in changes nothing that is shown"
    assert len(set(seen)) == 6


async def test_of_many_changes_by_the_same_etag_one_is_made(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    etag = (await people.get(member.id, manager)).etag
    calls = [people.suspend(member.id, manager, etag=etag) for _ in range(10)]
    assert tally(await outcomes(calls)) == {DONE: 1, "ETAG_MISMATCH": 9}
