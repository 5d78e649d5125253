"""Looking after members."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

import grpc
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import scalar_row
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, member_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.db import Connection, execute
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.common.paging import Page
from services.identity.members.queries import list_members
from services.identity.tests.people import (
    DONE,
    PASSWORD,
    People,
    new_email,
    new_user_name,
    outcomes,
    tally,
)
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal

ACTIVE, SUSPENDED = member_pb2.MEMBER_STATUS_ACTIVE, member_pb2.MEMBER_STATUS_SUSPENDED
CLOSED = member_pb2.MEMBER_STATUS_CLOSED


@pytest.fixture
async def manager(platform: Platform) -> str:
    return await platform.token("manager")


async def buy(platform: Platform, member: Member) -> str:
    """Has a till record a receipt of 100.00; returns the purchase's id."""
    request = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=str(new_id()),
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=10_000, quantity=1)],
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    return (await stub.RecordPurchase(request, metadata=bearer(await platform.till()))).purchase.id


async def audit_of(people: People, member_id: object) -> list[audit_pb2.AuditEntry]:
    """Returns what staff did to a member, the first first."""
    stub = audit_pb2_grpc.AuditServiceStub(people.channel)
    request = audit_pb2.ListAuditEntriesRequest(target_id=str(member_id))
    reply = await stub.ListAuditEntries(request, metadata=bearer(await people.platform.admin()))
    return list(reversed(reply.entries))


# Finding and reading


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_members_are_listed_newest_first_page_by_page(
    people: People, platform: Platform, manager: str
) -> None:
    name = f"Paged {new_id()}"
    made = [await platform.member(name) for _ in range(7)]
    ids, token, sizes = [], "", []
    while True:
        reply = await people.search(manager, query=name, page_size=3, page_token=token)
        ids += [member.id for member in reply.members]
        sizes.append(len(reply.members))
        token = reply.next_page_token
        if not token:
            break
        await platform.member(name)  # a newcomer moves nothing on the pages that are left
    assert sizes == [3, 3, 1]
    assert ids == [str(member.id) for member in reversed(made)]
    newest = (await people.search(manager, page_size=1)).members
    assert newest[0].full_name == name


async def test_a_page_token_is_good_for_its_own_list(
    people: People, platform: Platform, manager: str
) -> None:
    for _ in range(2):
        await platform.member()
    token = (await people.search(manager, page_size=1)).next_page_token
    for fields in ({"query": "a"}, {"status": ACTIVE}):
        call = people.search(manager, page_size=1, page_token=token, **fields)
        assert await reason(call) == "PAGE_TOKEN_NOT_VALID"
    assert await reason(people.search(manager, page_token="nonsense")) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_a_member_is_found_by_the_beginning_of_what_it_is_known_by(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member(f"Çelik Ärmel {new_id()}")
    await people.update(member.token, user_name=new_user_name())
    known = await people.set_email(member.token, new_email())
    await platform.member("Somebody Else")
    national = f"({member.phone[2:5]}) {member.phone[5:8]}-{member.phone[8:]}"
    for query in (
        known.full_name,
        known.full_name.upper(),
        known.full_name.lower()[:30],
        known.user_name.upper(),
        known.user_name[:40],
        known.email.upper(),
        known.email[:30],
        member.phone,
        member.phone[:-1],
        national,
        member.code,
        member.code.lower(),
        f"{member.code[:4]}-{member.code[4:8]} {member.code[8:10]}",
        f"  {member.code}  ",
    ):
        found = {row.id for row in (await people.search(manager, query=query, page_size=200)).members}
        assert str(member.id) in found, query
        assert len(found) <= 10, query  # a phone number cut short may be the beginning of ten
    assert list((await people.search(manager, query=known.full_name[1:])).members) == []
    [shown] = (await people.search(manager, query=known.email)).members
    assert shown == await people.me(member.token)


@pytest.mark.parametrize("query", ["%", "_", "\\", "%da", "A_a", "Ada\\", "-", ".", "'", "ada\tlovelac"])
async def test_nothing_in_a_query_is_a_wildcard(
    people: People, platform: Platform, manager: str, query: str
) -> None:
    await platform.member("Ada Lovelace")
    assert list((await people.search(manager, query=query)).members) == []


async def test_what_looks_like_a_wildcard_is_found_as_itself(
    people: People, platform: Platform, manager: str
) -> None:
    name = f"100%_\\ {new_id()}"
    member = await platform.member(name)
    for query in (name, "100%_\\ "):
        found = [row.id for row in (await people.search(manager, query=query)).members]
        assert str(member.id) in found


@pytest.mark.parametrize(
    "fields", [{"page_size": -1}, {"page_size": 201}, {"query": "x" * 121}, {"status": 9}]
)
async def test_malformed_lists_are_refused(people: People, manager: str, fields: dict[str, Any]) -> None:
    assert await reason(people.search(manager, **fields)) == "VALIDATION_FAILED"


async def test_a_query_with_nul_is_refused(people: People, manager: str) -> None:
    assert await reason(people.search(manager, query="a\x00")) == "VALIDATION_FAILED"


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_members_are_filtered_by_status(people: People, platform: Platform, manager: str) -> None:
    name = f"Status {new_id()}"
    active, out, gone = [await platform.member(name) for _ in range(3)]
    await people.suspend(out.id, manager)
    await people.close(gone.token)

    async def listed(status: member_pb2.MemberStatus.ValueType, query: str = name) -> set[str]:
        reply = await people.search(manager, query=query, status=status, page_size=200)
        assert {row.status for row in reply.members} <= {status}
        return {row.id for row in reply.members}

    assert await listed(ACTIVE) == {str(active.id)}
    assert await listed(SUSPENDED) == {str(out.id)}
    assert await listed(CLOSED) == set(), "nothing is left to find a closed account by"
    assert str(gone.id) in await listed(CLOSED, query="")
    assert str(out.id) in await listed(SUSPENDED, query="")


CROWD = (
    """
    INSERT INTO accounts (id, kind, user_name, email, phone, password_hash)
    SELECT gen_random_uuid(), 'MEMBER', 'crowd' || n, 'crowd' || n || '@example.com', '+4930' || n, 'none'
    FROM generate_series(1, 30000) n
    """,
    """
    INSERT INTO members (id, full_name, member_code, event_version)
    SELECT id, user_name, upper(user_name), 0 FROM accounts WHERE starts_with(user_name, 'crowd')
    """,
    "ANALYZE accounts, members",
)
"""So many that reading them all is not what costs least, and what is known of them."""


class Explaining(psycopg.AsyncCursor[Any]):
    """Runs a statement, and keeps how its rows were found."""

    plans: ClassVar[list[str]] = []

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        async with psycopg.AsyncCursor(self.connection, row_factory=scalar_row) as explained:
            await explained.execute(sql.SQL("EXPLAIN ") + query, *arguments)
            self.plans.append("\n".join(await explained.fetchall()))
        return await super().execute(query, *arguments, **options)


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_a_search_reads_indexes_and_not_the_table(platform: Platform) -> None:
    """At a million members a search that reads them all would take a second."""

    class EnoughError(Exception):
        """Takes back the crowd."""

    async def explain(connection: Connection) -> None:
        for statement in CROWD:
            await execute(connection, statement)
        Explaining.plans.clear()
        connection.cursor_factory = Explaining
        try:
            for status in (None, "SUSPENDED"):
                for query in ("", "Zoe"):
                    page = Page(10, "", "members")
                    await list_members(connection, page, begins_with=query, phone=None, status=status)
        finally:
            connection.cursor_factory = psycopg.AsyncCursor
        raise EnoughError

    with pytest.raises(EnoughError):
        await platform.databases["identity"].run(explain)
    plans = Explaining.plans
    everything, found, out, _ = plans
    assert "pk_members" in everything
    assert "ix_accounts_out" in out
    for index in ("members_name", "members_code", "accounts_user_name", "accounts_email", "accounts_phone"):
        assert f"ix_{index}_prefix" in found
    assert "Seq Scan" not in "".join(plans)


@pytest.mark.covers("I8 MemberAdminService.GetMember")
async def test_staff_read_a_member(people: People, platform: Platform) -> None:
    member = await platform.member()
    for role in ("admin", "manager", "cashier"):
        shown = await people.get(member.id, await platform.token(role))
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
    assert (await people.get(member.id, manager)).status == member_pb2.MEMBER_STATUS_ACTIVE


async def test_each_call_is_for_its_roles_alone(people: People, platform: Platform) -> None:
    member = await platform.member()
    look, change = {"admin", "manager", "cashier"}, {"admin", "manager"}
    for role in ("member", "till", "admin", "manager", "cashier", "brand_manager"):
        token = await platform.token(role)
        calls = {
            "list": (people.search(token, page_size=1), look),
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
    assert (await people.suspend(member.id, manager)).status == SUSPENDED

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
    assert (await people.restore(member.id, manager)).status == ACTIVE

    async def ended() -> None:
        assert await people.answers(member.token) == {"SESSION_ENDED"}

    await eventually(ended, seconds=1)
    login = await people.log_in_by_phone(member.phone)
    assert await people.answers(login.access_token) == {DONE}


async def test_tills_are_told_that_a_suspended_members_code_is_unknown(
    people: People, platform: Platform, manager: str
) -> None:
    member = await platform.member()
    await buy(platform, member)
    await people.suspend(member.id, manager)

    async def unknown() -> None:
        assert await reason(buy(platform, member)) == "MEMBER_CODE_UNKNOWN"

    await eventually(unknown)
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
    assert [json.loads(entry.details_json) for entry in entries] == [
        {"reason": "points from forged receipts"},
        {"reason": "the receipts were good"},
    ]
    assert {(entry.actor_id, entry.actor_role, entry.service) for entry in entries} == {
        (str(staff_id), "manager", "identity")
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
    assert (shown.id, shown.status) == (str(member.id), CLOSED)
    assert (shown.full_name, shown.phone, shown.has_password) == ("", "", False)
    for call in (people.suspend(member.id, manager), people.restore(member.id, manager)):
        assert await reason(call) == "MEMBER_NOT_FOUND"
    assert await people.events(member.id) == ["REGISTERED", "FIRST_LOGIN", "CLOSED"]
