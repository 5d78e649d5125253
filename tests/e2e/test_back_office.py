"""The back office and the counter over REST: who am I, edits by etag, lists, CSV, looking members up."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.people import Staff, new_name, staff
from tests.platform import Member, Platform, eventually, unique


@pytest_asyncio.fixture(scope="module")
async def manager(live: Platform) -> AsyncIterator[Staff]:
    """A manager."""
    yield await staff(live, "MANAGER")


@pytest.mark.covers("I6 MyselfService.GetMyself")
async def test_a_manager_learns_who_it_is_and_what_it_may_do(live: Platform, manager: Staff) -> None:
    me = (await live.ok("GET", "/v1/me", token=manager.token))["myself"]
    assert (me["id"], me["role"], me["user_name"]) == (manager.id, "ROLE_MANAGER", manager.user_name)
    assert "scrip.identity.v1.MemberAdminService.SuspendMember" in me["allowed_rpcs"]
    assert "scrip.points.v1.PointsAdminService.AdjustPoints" in me["allowed_rpcs"]
    assert "scrip.identity.v1.StaffService.DeleteStaff" not in me["allowed_rpcs"]
    assert me["token_expires_at"].endswith("Z")


@pytest.mark.covers("I6 StaffService.UpdateStaff", "I6 StaffService.DeleteStaff")
async def test_staff_are_changed_and_deleted_by_etag(live: Platform) -> None:
    one = await staff(live, "CASHIER")
    path = f"/v1/staff/{one.id}"
    read = (await live.ok("GET", path, token=live.admin))["staff"]
    changed = await live.ok("PATCH", path, {"full_name": "Ada King", "etag": read["etag"]}, token=live.admin)
    assert changed["staff"] == read | {"full_name": "Ada King", "etag": changed["staff"]["etag"]}
    old = await live.refused("DELETE", f"{path}?etag={read['etag']}", token=live.admin)
    assert (old.status, old.reason, old.metadata) == (
        409,
        "ETAG_MISMATCH",
        {"etag": changed["staff"]["etag"]},
    )
    assert await live.ok("DELETE", f"{path}?etag={changed['staff']['etag']}", token=live.admin) == {}
    gone = await live.refused("GET", path, token=live.admin)
    assert (gone.status, gone.reason) == (404, "STAFF_NOT_FOUND")

    async def out() -> None:
        refused = await live.refused("GET", "/v1/me", token=one.token)
        assert refused.reason == "ACCOUNT_CLOSED"

    await eventually(out, 2.0)


@pytest.mark.covers(
    "I6 ClientService.GetClient", "I6 ClientService.UpdateClient", "I6 ClientService.DeleteClient"
)
async def test_a_till_is_read_changed_and_deleted(live: Platform) -> None:
    name = f"Till {unique()}"
    made = (await live.ok("POST", "/v1/clients", {"display_name": name}, token=live.admin))["client"]
    path = f"/v1/clients/{made['id']}"
    assert (await live.ok("GET", path, token=live.admin))["client"] == made
    changed = await live.ok("PATCH", path, {"display_name": f"{name} b"}, token=live.admin)
    assert changed["client"]["display_name"] == f"{name} b"
    query = f"query={quote(name)}&order_by=created_at%20desc&with_total=true"
    page = await live.ok("GET", f"/v1/clients?{query}", token=live.admin)
    assert (page["clients"], page["total"]) == ([changed["client"]], {"count": 1, "more": False})
    await live.ok("DELETE", path, token=live.admin)
    page = await live.ok("GET", f"/v1/clients?{query}", token=live.admin)
    assert (page["clients"], page["total"]["count"]) == ([], 0)
    wrong = await live.refused("GET", "/v1/clients?order_by=secret", token=live.admin)
    assert (wrong.status, wrong.fields) == (400, ["order_by"])


async def _csv(live: Platform, path: str, token: str, name: str) -> list[list[str]]:
    """Returns the lines of a CSV file, checked to be one to be saved."""
    answer = await live.call("GET", path, token=token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.mark.covers("I8 MemberAdminService.ExportMembers", "I6 AuditService.ExportAuditEntries")
async def test_members_and_audit_entries_are_saved_as_csv(live: Platform, manager: Staff) -> None:
    name = new_name()
    body = {"full_name": "=Grace", "user_name": name, "password": "a zebra counts backwards"}
    member = (await live.ok("POST", "/v1/members", body))["member"]
    header, row, end = await _csv(live, f"/v1/members:export?query={name}", manager.token, "members.csv")
    shown = dict(zip(header, row, strict=True))
    assert (shown["id"], shown["full_name"], shown["user_name"]) == (member["id"], "'=Grace", name)
    assert end == ["#end", "1"]
    path = f"/v1/audit-entries:export?actor_id={manager.id}&action=member.exported"
    header, row, end = await _csv(live, path, live.admin, "audit-entries.csv")
    assert dict(zip(header, row, strict=True))["actor_id"] == manager.id
    assert end == ["#end", "1"]
    refused = await live.refused("GET", "/v1/audit-entries:export", token=manager.token)
    assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")


@pytest.mark.covers("P9 LookUpService.LookUpMember", "P9 LookUpService.ListLookUps")
async def test_a_till_looks_a_member_up_and_it_is_kept_who_did(
    live: Platform, till: str, ada: Member
) -> None:
    path = "/v1/members:lookUp"

    async def whole() -> None:
        found = await live.ok("POST", path, {"phone": ada.phone}, token=till)
        assert found["member"]["state"] == "MEMBER_STATE_ACTIVE"
        assert found["points"]["balance"] > 0
        assert found["unavailable"] == []

    await eventually(whole, 10.0)
    found = await live.ok("POST", path, {"member_code": ada.code}, token=till)
    assert ada.phone not in str(found)
    assert ada.id not in str(found)
    looks = await live.ok("GET", f"/v1/look-ups?member_id={ada.id}&page_size=1", token=live.admin)
    assert looks["look_ups"][0]["method"] == "LOOK_UP_METHOD_MEMBER_CODE"
    unknown = await live.refused("POST", path, {"phone": "+14155559999"}, token=till)
    assert (unknown.status, unknown.reason) == (404, "PHONE_UNKNOWN")
    nothing = await live.refused("POST", path, {}, token=till)
    assert (nothing.status, nothing.reason) == (400, "VALIDATION_FAILED")
