"""Lists of members: searched, filtered, sorted, counted, exported."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any, ClassVar, Self

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import scalar_row
from scrip.common.v1 import list_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, member_pb2

from services.common.db import Connection, execute
from services.common.ids import new_id, utc_now
from services.common.paging import Page
from services.identity.members.queries import begins_with, member_list
from services.identity.tests.people import People, new_email, new_user_name
from tests.inprocess import Platform, bearer, reason, refused_status

ACTIVE, SUSPENDED = member_pb2.MEMBER_STATE_ACTIVE, member_pb2.MEMBER_STATE_SUSPENDED
CLOSED = member_pb2.MEMBER_STATE_CLOSED


@pytest.fixture
async def manager(platform: Platform) -> str:
    return await platform.token("manager")


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
    for fields in ({"query": "a"}, {"state": ACTIVE}, {"order_by": "full_name"}):
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
    shown.ClearField("etag")
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
    "fields",
    [{"page_size": -1}, {"page_size": 201}, {"query": "x" * 121}, {"state": 9}, {"order_by": "phone"}],
)
async def test_malformed_lists_are_refused(people: People, manager: str, fields: dict[str, Any]) -> None:
    assert await reason(people.search(manager, **fields)) == "VALIDATION_FAILED"


async def test_a_query_with_nul_is_refused(people: People, manager: str) -> None:
    assert await reason(people.search(manager, query="a\x00")) == "VALIDATION_FAILED"


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_members_are_filtered_by_state(people: People, platform: Platform, manager: str) -> None:
    name = f"State {new_id()}"
    active, out, gone = [await platform.member(name) for _ in range(3)]
    await people.suspend(out.id, manager)
    await people.close(gone.token)

    async def listed(state: member_pb2.MemberState.ValueType, query: str = name) -> set[str]:
        reply = await people.search(manager, query=query, state=state, page_size=200)
        assert {row.state for row in reply.members} <= {state}
        return {row.id for row in reply.members}

    assert await listed(ACTIVE) == {str(active.id)}
    assert await listed(SUSPENDED) == {str(out.id)}
    assert await listed(CLOSED) == set(), "nothing is left to find a closed account by"
    assert str(gone.id) in await listed(CLOSED, query="")
    assert str(out.id) in await listed(SUSPENDED, query="")


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_members_are_sorted_by_time_and_by_name_either_way_round(
    people: People, platform: Platform, manager: str
) -> None:
    mark = str(new_id())
    names = [f"{mark} {name}" for name in ("bob", "Alice", "Zoë", "alice", "carol")]
    ids = {name: str((await platform.member(name)).id) for name in names}

    async def listed(order_by: str) -> list[str]:
        found, token = [], ""
        while True:
            page = await people.search(manager, query=mark, order_by=order_by, page_size=2, page_token=token)
            found += [row.full_name for row in page.members]
            token = page.next_page_token
            if not token:
                return found

    by_name = sorted(names, key=lambda name: (name.lower(), ids[name]))
    assert await listed("full_name") == by_name
    assert await listed("full_name desc") == by_name[::-1]
    assert await listed("registered_at") == names
    assert await listed("registered_at desc") == await listed("") == names[::-1]


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_members_are_filtered_by_when_they_registered_and_counted(
    people: People, platform: Platform, manager: str
) -> None:
    mark = str(new_id())
    made = [await platform.member(f"{mark} {n}") for n in range(4)]
    rows = [await people.get(member.id, manager) for member in made]
    times = [row.registered_at for row in rows]

    async def found(**fields: Any) -> tuple[list[str], list_pb2.ListTotal]:
        reply = await people.search(
            manager, query=mark, order_by="registered_at", page_size=1, with_total=True, **fields
        )
        return [row.full_name for row in reply.members], reply.total

    total = list_pb2.ListTotal
    assert await found() == ([f"{mark} 0"], total(count=4))
    assert await found(registered_from=times[1]) == ([f"{mark} 1"], total(count=3))
    assert await found(registered_until=times[1]) == ([f"{mark} 0"], total(count=1))
    assert await found(registered_from=times[1], registered_until=times[3]) == ([f"{mark} 1"], total(count=2))
    assert not (await people.search(manager, query=mark)).HasField("total"), (
        "counting costs; only if asked for"
    )
    status, _ = await refused_status(
        people.search(manager, registered_from=times[1], registered_until=times[1])
    )
    assert "registered_until" in status.message


async def exported(people: People, token: str, **fields: Any) -> list[list[str]]:
    """Returns the rows of an export, the header included."""
    stream = people.admin.ExportMembers(member_pb2.ExportMembersRequest(**fields), metadata=bearer(token))
    content = b"".join([piece.data async for piece in stream])
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


@pytest.mark.covers("I8 MemberAdminService.ExportMembers")
async def test_an_export_has_all_that_the_list_has_and_an_end(people: People, platform: Platform) -> None:
    mark, actor = str(new_id()), new_id()
    made = [await platform.member(f"{mark} {name}") for name in ("=1+1", "Ada", 'Quo"te, Inc.')]
    token = await platform.token("manager", actor)
    header, *rows, end = await exported(people, token, query=mark, order_by="full_name")
    assert end == ["#end", "3"]
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["id"], row["phone"], row["state"]) for row in shown] == [
        (str(member.id), f"'{member.phone}", "ACTIVE") for member in made
    ]
    assert [row["full_name"] for row in shown] == [f"{mark} =1+1", f"{mark} Ada", f'{mark} Quo"te, Inc.']
    assert await exported(people, token, query=f"{mark} nobody") == [header, ["#end", "0"]]
    audit = audit_pb2_grpc.AuditServiceStub(people.channel)
    reply = await audit.ListAuditEntries(
        audit_pb2.ListAuditEntriesRequest(actor_id=str(actor)), metadata=bearer(await platform.admin())
    )
    assert [entry.action for entry in reply.entries] == ["member.exported"] * 2
    assert mark not in str(reply.entries), "what was searched for may be somebody's name"


@pytest.mark.covers("I8 MemberAdminService.ExportMembers")
async def test_members_are_exported_by_admins_and_managers_alone(people: People, platform: Platform) -> None:
    for role in ("cashier", "brand_manager", "till", "member"):
        stream = people.admin.ExportMembers(
            member_pb2.ExportMembersRequest(query="x"), metadata=bearer(await platform.token(role))
        )
        assert await reason(stream.read()) == "ROLE_NOT_ALLOWED"


CROWD = (
    """
    INSERT INTO accounts (id, kind, user_name, email, phone, password_hash, created_at)
    SELECT
      gen_random_uuid(), 'MEMBER', 'crowd' || n, 'crowd' || n || '@example.com', '+4930' || n, 'none',
      now() - n * interval '1 minute'
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


YESTERDAY = utc_now() - timedelta(days=1)
NAMES = ("members_name", "members_(member_)?code", "accounts_user_name", "accounts_email", "accounts_phone")
"""Where texts are sorted by their bytes, the unique indexes find beginnings too."""


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
@pytest.mark.parametrize(
    ("order_by", "wanted", "indexes"),
    [
        ("", {}, ("accounts_created_at",)),
        ("registered_at", {}, ("accounts_created_at",)),
        ("full_name", {}, ("members_name",)),
        ("full_name desc", {}, ("members_name",)),
        ("", {"status": "SUSPENDED"}, ("accounts_out",)),
        ("registered_at", {"status": "CLOSED"}, ("accounts_out",)),
        ("", {"registered_until": YESTERDAY}, ("accounts_created_at",)),
        ("", {"registered_from": YESTERDAY}, ("accounts_created_at",)),
        ("", begins_with("Zoe", None), NAMES),
        ("full_name", begins_with("Zoe", None), NAMES),
    ],
)
async def test_every_order_and_filter_reads_indexes_and_not_the_table(
    platform: Platform, order_by: str, wanted: dict[str, Any], indexes: tuple[str, ...]
) -> None:
    """At a million members a page that reads them all would take a second, also in the middle of a list."""

    class EnoughError(Exception):
        """Takes back the crowd."""

    async def explain(connection: Connection) -> None:
        for statement in CROWD:
            await execute(connection, statement)
        listing = member_list(order_by)
        first = Page(10, "", "members")
        rows, token = await listing.page(connection, first, order_by=order_by, **wanted)
        Explaining.plans.clear()
        connection.cursor_factory = Explaining
        try:
            await listing.page(connection, first, order_by=order_by, **wanted)
            if token:
                await listing.page(connection, Page(10, token, "members"), order_by=order_by, **wanted)
        finally:
            connection.cursor_factory = psycopg.AsyncCursor
        assert bool(token) == (len(rows) == 10)
        raise EnoughError

    with pytest.raises(EnoughError):
        await platform.databases["identity"].run(explain)
    for plan in Explaining.plans:
        assert "Seq Scan" not in plan
        for index in indexes:
            assert re.search(f"Index (Only )?Scan.* (on|using) (ix|uq)_{index}", plan), plan
