"""Managing staff: who may, what becomes of their logins, and that an admin always stays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.e2e.people import (
    PASSWORD,
    STAFF_PATHS,
    WELCOME,
    Staff,
    answers,
    assert_refused,
    log_in,
    new_brand,
    new_name,
    refresh_refused,
    staff,
)
from tests.platform import Member, Platform

ROLES = ("ADMIN", "MANAGER", "CASHIER", "BRAND_MANAGER")
UNKNOWN = "01990000-0000-7000-8000-000000000000"
OTHER = "an umbrella swims to Norway"
ADMINS_ONLY: Sequence[tuple[str, str, dict[str, str] | None]] = (
    ("POST", "/v1/staff", {"user_name": "x", "role": "ROLE_ADMIN"}),
    ("GET", "/v1/staff", None),
    ("GET", f"/v1/staff/{UNKNOWN}", None),
    ("POST", f"/v1/staff/{UNKNOWN}:changeRole", {"role": "ROLE_ADMIN"}),
    ("POST", f"/v1/staff/{UNKNOWN}:resetPassword", {"password": PASSWORD}),
    ("POST", f"/v1/staff/{UNKNOWN}:disable", {}),
    ("POST", f"/v1/staff/{UNKNOWN}:enable", {}),
    ("POST", "/v1/clients", {"display_name": "x"}),
    ("GET", "/v1/clients", None),
    ("POST", f"/v1/clients/{UNKNOWN}:rotateSecret", {}),
    ("POST", f"/v1/clients/{UNKNOWN}:disable", {}),
    ("POST", f"/v1/clients/{UNKNOWN}:enable", {}),
    ("GET", "/v1/audit-entries", None),
    ("GET", f"/v1/sandbox/otps/{UNKNOWN}", None),
    ("GET", f"/v1/sandbox/notices?member_id={UNKNOWN}", None),
)


@pytest_asyncio.fixture
async def manager(live: Platform) -> Staff:
    """A manager of the test's own."""
    return await staff(live, "MANAGER")


async def _change(live: Platform, who: str, verb: str, **fields: str) -> Any:
    return await live.ok("POST", f"/v1/staff/{who}:{verb}", fields, token=live.admin)


@pytest.mark.covers("I6 StaffService.CreateStaff")
@pytest.mark.parametrize("role", ROLES)
async def test_staff_log_in_with_the_role_that_they_were_given(live: Platform, role: str) -> None:
    name = f"Joan.{new_name()}"
    wanted = {"user_name": name, "full_name": " Joan Clarke ", "role": f"ROLE_{role}", "password": PASSWORD}
    brand = {"brand_id": await new_brand(live)} if role == "BRAND_MANAGER" else {}
    made = (await live.ok("POST", "/v1/staff", wanted | brand, token=live.admin))["staff"]
    shown = {
        "user_name": name.lower(),
        "full_name": "Joan Clarke",
        "role": f"ROLE_{role}",
        "enabled": True,
        "brand_id": brand.get("brand_id", ""),
    }
    assert made.items() >= shown.items()
    assert made.keys() == shown.keys() | {"id", "created_at", "etag"}
    assert (await live.ok("GET", f"/v1/staff/{made['id']}", token=live.admin))["staff"] == made
    token = (await log_in(live, name.upper())).access
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["role"]) == (made["id"], role.lower())
    assert claims.get("brand", "") == made["brand_id"]
    if role == "ADMIN":  # or the last admin could be removed by other tests
        await _change(live, made["id"], "disable")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user_name": "ab"}, "user_name"),
        ({"user_name": "a@b.example"}, "user_name"),
        ({"full_name": " "}, "full_name"),
        ({"role": "ROLE_UNSPECIFIED"}, "role"),
        ({"role": "ROLE_MEMBER"}, "role"),
        ({"role": "ROLE_TILL"}, "role"),
        ({"role": "ROLE_KING"}, "role"),
        ({"password": ""}, "password"),
    ],
)
async def test_a_creation_that_breaks_a_rule_is_refused_with_the_field(
    live: Platform, fields: dict[str, str], named: str
) -> None:
    wanted = {"user_name": new_name(), "full_name": "J", "role": "ROLE_CASHIER", "password": PASSWORD}
    refused = await live.refused("POST", "/v1/staff", wanted | fields, token=live.admin)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


@pytest.mark.covers("I6 StaffService.ListStaff")
async def test_staff_are_listed_by_user_name_page_by_page_and_by_role(live: Platform, manager: Staff) -> None:
    names: list[str] = []
    path, token = "/v1/staff?role=ROLE_MANAGER&page_size=2", ""
    while page := await live.ok("GET", f"{path}&page_token={token}", token=live.admin):
        assert {one["role"] for one in page["staff"]} <= {"ROLE_MANAGER"}
        names += [one["user_name"] for one in page["staff"]]
        token = page["next_page_token"]
        if not token:
            break
    assert names == sorted(set(names))
    assert manager.user_name in names


async def test_only_admins_do_what_is_for_admins(live: Platform, ada: Member, till: str) -> None:
    tokens = {role.lower(): (await staff(live, role)).token for role in ROLES[1:]}
    for role, token in (tokens | {"member": ada.token, "till": till}).items():
        for method, path, body in ADMINS_ONLY:
            refused = await live.refused(method, path, body, token=token)
            assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED"), (role, path)
            assert refused.metadata == {"role": role}
    for method, path, body in ADMINS_ONLY:
        assert (await live.refused(method, path, body)).reason == "TOKEN_MISSING"


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
async def test_a_changed_role_ends_the_logins_and_the_next_one_has_it(live: Platform, manager: Staff) -> None:
    assert await answers(live, manager.token, STAFF_PATHS) == WELCOME
    told = await _change(live, manager.id, "changeRole", role="ROLE_CASHIER")
    since = time.monotonic()
    assert told["staff"]["role"] == "ROLE_CASHIER"
    await assert_refused(live, manager.token, "SESSION_ENDED", since, STAFF_PATHS)
    token = (await log_in(live, manager.user_name)).access
    refused = await live.refused("POST", f"/v1/members/{UNKNOWN}:suspend", {"reason": "x"}, token=token)
    assert refused.metadata == {"role": "cashier"}


@pytest.mark.covers("I6 StaffService.DisableStaff", "I6 StaffService.EnableStaff")
async def test_disabled_staff_are_out_within_a_second_until_enabled(live: Platform, manager: Staff) -> None:
    login = await log_in(live, manager.user_name)
    assert await answers(live, login.access, STAFF_PATHS) == WELCOME
    told = await _change(live, manager.id, "disable")
    since = time.monotonic()
    assert told["staff"]["enabled"] is False
    for token in (manager.token, login.access):
        await assert_refused(live, token, "ACCOUNT_SUSPENDED", since, STAFF_PATHS)
    assert await refresh_refused(live, login) == "ACCOUNT_SUSPENDED"
    entry = {"password": {"user_name": manager.user_name, "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", entry)).reason == "ACCOUNT_SUSPENDED"
    assert (await _change(live, manager.id, "enable"))["staff"]["enabled"] is True
    assert await answers(live, login.access, STAFF_PATHS) == {"SESSION_ENDED"}
    token = (await log_in(live, manager.user_name)).access
    assert await answers(live, token, STAFF_PATHS) == WELCOME


@pytest.mark.covers("I6 StaffService.ResetStaffPassword")
async def test_a_reset_password_replaces_the_old_one_and_ends_the_logins(
    live: Platform, manager: Staff
) -> None:
    await _change(live, manager.id, "resetPassword", password=OTHER)
    await assert_refused(live, manager.token, "SESSION_ENDED", time.monotonic(), STAFF_PATHS)
    entry = {"password": {"user_name": manager.user_name, "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", entry)).reason == "CREDENTIALS_NOT_VALID"
    login = await log_in(live, manager.user_name, OTHER)
    # Which they change themselves.
    change = {"current_password": OTHER, "new_password": PASSWORD}
    await live.ok("POST", "/v1/password:change", change, token=login.access)
    await log_in(live, manager.user_name)


@pytest.mark.covers("I6 StaffService.ChangeStaffRole")
@pytest.mark.parametrize(("verb", "body"), [("disable", {}), ("changeRole", {"role": "ROLE_MANAGER"})])
async def test_an_admin_may_go_and_the_last_one_stays(
    live: Platform, verb: str, body: dict[str, str]
) -> None:
    second = await staff(live, "ADMIN")
    page = await live.ok("GET", "/v1/staff?role=ROLE_ADMIN&page_size=200", token=second.token)
    first, other = sorted((one for one in page["staff"] if one["enabled"]), key=lambda one: str(one["id"]))
    assert other["id"] == second.id
    await live.ok("POST", f"/v1/staff/{second.id}:{verb}", body, token=second.token)
    refused = await live.refused("POST", f"/v1/staff/{first['id']}:{verb}", body, token=live.admin)
    assert (refused.status, refused.reason) == (400, "LAST_ADMIN")
    assert (await live.ok("GET", f"/v1/staff/{first['id']}", token=live.admin))["staff"] == first


@pytest.mark.parametrize("verb", ["changeRole", "resetPassword", "disable", "enable", ""])
async def test_who_is_not_staff_is_404(live: Platform, ada: Member, verb: str) -> None:
    body = {"role": "ROLE_ADMIN"} if verb == "changeRole" else {"password": PASSWORD}
    for nobody in (UNKNOWN, ada.id):
        if verb:
            refused = await live.refused("POST", f"/v1/staff/{nobody}:{verb}", body, token=live.admin)
        else:
            refused = await live.refused("GET", f"/v1/staff/{nobody}", token=live.admin)
        assert (refused.status, refused.reason) == (404, "STAFF_NOT_FOUND")
        assert refused.metadata == {"staff_id": nobody}


async def test_a_user_name_is_given_once_among_members_and_staff(live: Platform, manager: Staff) -> None:
    wanted = {"full_name": "J", "role": "ROLE_CASHIER", "password": PASSWORD}
    taken = await live.refused(
        "POST", "/v1/staff", wanted | {"user_name": manager.user_name.upper()}, token=live.admin
    )
    assert (taken.status, taken.reason) == (409, "USER_NAME_TAKEN")
    member = {"full_name": "J", "user_name": manager.user_name, "password": PASSWORD}
    assert (await live.refused("POST", "/v1/members", member)).reason == "USER_NAME_TAKEN"
