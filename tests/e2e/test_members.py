"""Looking after members: finding, reading, suspending and restoring them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.people import (
    WELCOME,
    Login,
    Staff,
    answers,
    assert_refused,
    log_in_by_phone,
    new_name,
    refresh_refused,
    register,
    staff,
)
from tests.platform import Member, Platform, eventually, purchase, unique

HEARD_SECONDS = 10.0
UNKNOWN = "01990000-0000-7000-8000-000000000000"
WHY = {"reason": "a stolen phone"}


@pytest_asyncio.fixture(scope="module")
async def manager(live: Platform) -> AsyncIterator[Staff]:
    """A manager."""
    yield await staff(live, "MANAGER")


@pytest_asyncio.fixture(scope="module")
async def cashier(live: Platform) -> AsyncIterator[Staff]:
    """A cashier."""
    yield await staff(live, "CASHIER")


async def _found(live: Platform, token: str, query: str) -> list[str]:
    """Returns the ids that a query finds."""
    page = await live.ok("GET", f"/v1/members?query={quote(query)}", token=token)
    assert page["next_page_token"] == ""
    return [member["id"] for member in page["members"]]


async def test_members_are_listed_newest_first_page_by_page(live: Platform, manager: Staff) -> None:
    family = f"Family{unique()}"
    made = [
        (await register(live, otp=(await live.otp()).proof, password="", full_name=f"{family} {n}"))[0]
        for n in range(5)
    ]
    ids: list[str] = []
    path, token = f"/v1/members?query={family.lower()}&page_size=2", ""
    for size in (2, 2, 1):
        page = await live.ok("GET", f"{path}&page_token={token}", token=manager.token)
        assert len(page["members"]) == size
        ids += [member["id"] for member in page["members"]]
        token = page["next_page_token"]
    assert token == ""
    assert ids == [member["id"] for member in reversed(made)]
    first = await live.ok("GET", path, token=manager.token)
    other = await live.refused(
        "GET", f"/v1/members?query=x&page_token={first['next_page_token']}", token=manager.token
    )
    assert (other.status, other.reason) == (400, "PAGE_TOKEN_NOT_VALID")


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_a_member_is_found_by_whatever_it_is_known_by(live: Platform, manager: Staff) -> None:
    name, email, otp = new_name(), f"{unique()}@example.com", await live.otp()
    full = f"Emmy {unique()}"
    member, login = await register(live, full_name=full, user_name=name, email=email, otp=otp.proof)
    code = (await live.ok("GET", "/v1/members/me/code", token=login.access))["member_code"]
    national = f"({otp.phone[2:5]}) {otp.phone[5:8]}-{otp.phone[8:]}"
    for query in (full, full.upper(), name[:-1], email, otp.phone, national, code, code[:9], f" {name} "):
        assert await _found(live, manager.token, query) == [member["id"]], query
    for query in (name[1:], "%" + name[1:], "_" + name[1:]):
        assert await _found(live, manager.token, query) == []
    read = await live.ok("GET", f"/v1/members/{member['id']}", token=manager.token)
    assert read["member"] == member | {"etag": read["member"]["etag"]}


@pytest.mark.covers("I8 MemberAdminService.ListMembers", "I8 MemberAdminService.GetMember")
async def test_a_cashier_finds_a_member_by_all_of_a_number_and_sees_it_masked(
    live: Platform, cashier: Staff
) -> None:
    otp = await live.otp()
    member, _ = await register(live, full_name="Grace Hopper", otp=otp.proof)
    assert await _found(live, cashier.token, otp.phone) == [member["id"]]
    assert await _found(live, cashier.token, otp.phone[:-1]) == []
    read = (await live.ok("GET", f"/v1/members/{member['id']}", token=cashier.token))["member"]
    assert (read["full_name"], read["phone"]) == ("Grace H.", f"+1…{otp.phone[-4:]}")
    assert (read["masked"], read["user_name"]) == (True, "")
    refused = await live.refused("GET", "/v1/members", token=cashier.token)
    assert (refused.status, refused.fields) == (400, ["query"])


@pytest.mark.parametrize(
    "query", ["state=GONE", "page_size=201", "page_size=-1", "page_token=garbage", "query=%00", "name=x"]
)
async def test_a_malformed_list_is_refused(live: Platform, manager: Staff, query: str) -> None:
    refused = await live.refused("GET", f"/v1/members?{query}", token=manager.token)
    assert refused.status == 400
    assert refused.reason in ("VALIDATION_FAILED", "PAGE_TOKEN_NOT_VALID")


@pytest.mark.covers("I8 MemberAdminService.RestoreMember", "I8 MemberAdminService.SuspendMember")
async def test_a_suspended_member_is_out_within_a_second_and_comes_back_when_restored(
    live: Platform, manager: Staff, till: str
) -> None:
    member = await live.member()
    login = Login(member.token, member.refresh_token)
    await live.give(till, member, 1)
    assert await answers(live, member.token) == WELCOME
    path = f"/v1/members/{member.id}"
    told = await live.ok("POST", f"{path}:suspend", WHY, token=manager.token)
    since = time.monotonic()
    assert told["member"]["state"] == "MEMBER_STATE_SUSPENDED"
    await assert_refused(live, member.token, "ACCOUNT_SUSPENDED", since)
    assert await refresh_refused(live, login) == "ACCOUNT_SUSPENDED"
    otp = await live.otp(member.phone, "LOG_IN")
    refused = await live.refused("POST", "/v1/sessions", {"otp": otp.proof})
    assert (refused.status, refused.reason) == (403, "ACCOUNT_SUSPENDED")
    suspended = await live.ok("GET", "/v1/members?state=MEMBER_STATE_SUSPENDED", token=manager.token)
    assert member.id in [one["id"] for one in suspended["members"]]

    async def tills_are_told() -> None:
        kept = await live.ok("POST", "/v1/purchases", purchase(member, 0), token=till)
        assert kept["member_suspended"]

    await eventually(tills_are_told, HEARD_SECONDS)

    told = await live.ok("POST", f"{path}:restore", WHY, token=manager.token)
    assert told["member"]["state"] == "MEMBER_STATE_ACTIVE"
    assert await answers(live, (await log_in_by_phone(live, member.phone)).access) == WELCOME
    assert await answers(live, member.token) == {"SESSION_REPLACED"}
    assert await refresh_refused(live, login) == "SESSION_ENDED"

    async def shops_again() -> None:
        await live.give(till, member, 1)

    await eventually(shops_again, HEARD_SECONDS)


async def test_suspending_twice_is_suspending_once(live: Platform, manager: Staff, member: Member) -> None:
    path = f"/v1/members/{member.id}:suspend"
    assert await live.ok("POST", path, WHY, token=manager.token) == await live.ok(
        "POST", path, WHY, token=manager.token
    )
    entries = await live.ok("GET", f"/v1/audit-entries?target_id={member.id}", token=live.admin)
    assert [entry["action"] for entry in entries["entries"]] == ["member.suspended"]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (f"{UNKNOWN}:suspend", WHY, (404, "MEMBER_NOT_FOUND")),
        (f"{UNKNOWN}:restore", WHY, (404, "MEMBER_NOT_FOUND")),
        ("me:suspend", WHY, (400, "VALIDATION_FAILED")),
        ("me:restore", WHY, (400, "VALIDATION_FAILED")),
        ("1:suspend", WHY, (400, "VALIDATION_FAILED")),
        (f"{UNKNOWN}:suspend", {}, (400, "VALIDATION_FAILED")),
        (f"{UNKNOWN}:suspend", {"reason": "x" * 501}, (400, "VALIDATION_FAILED")),
    ],
)
async def test_a_suspension_of_nobody_or_without_a_reason_is_refused(
    live: Platform, manager: Staff, path: str, body: dict[str, str], told: tuple[int, str]
) -> None:
    refused = await live.refused("POST", f"/v1/members/{path}", body, token=manager.token)
    assert (refused.status, refused.reason) == told


async def test_reading_nobody_is_404(live: Platform, manager: Staff) -> None:
    for nobody in (UNKNOWN, manager.id):
        refused = await live.refused("GET", f"/v1/members/{nobody}", token=manager.token)
        assert (refused.status, refused.reason) == (404, "MEMBER_NOT_FOUND")
        assert refused.metadata == {"member_id": nobody}


async def test_each_call_is_for_its_roles_alone(
    live: Platform, cashier: Staff, till: str, ada: Member
) -> None:
    brands = await staff(live, "BRAND_MANAGER")
    for token, role, calls in (
        (cashier.token, "cashier", ("suspend", "restore")),
        (brands.token, "brand_manager", ("suspend", "restore", "", "list")),
        (till, "till", ("suspend", "restore", "", "list")),
        (ada.token, "member", ("suspend", "restore", "", "list")),
    ):
        for call in calls:
            if call in ("suspend", "restore"):
                refused = await live.refused("POST", f"/v1/members/{ada.id}:{call}", WHY, token=token)
            else:
                path = "/v1/members" if call == "list" else f"/v1/members/{ada.id}"
                refused = await live.refused("GET", path, token=token)
            assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
            assert refused.metadata == {"role": role}
    assert await answers(live, ada.token) == WELCOME
