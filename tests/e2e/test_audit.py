"""What staff changed, in every service, and who may read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.people import PASSWORD, Staff, new_name, staff
from tests.platform import Platform, eventually, unique

HEARD_SECONDS = 10.0
PATH = "/v1/audit-entries"
DONE = {
    "staff.created": "identity",
    "staff.role_changed": "identity",
    "staff.password_reset": "identity",
    "staff.disabled": "identity",
    "staff.enabled": "identity",
    "client.created": "identity",
    "client.secret_rotated": "identity",
    "client.disabled": "identity",
    "client.enabled": "identity",
    "member.suspended": "identity",
    "member.restored": "identity",
    "earn_rule.created": "points",
    "earn_rule.deleted": "points",
    "voucher.created": "vouchers",
    "campaign.created": "promos",
    "campaign.ended": "promos",
}
"""What one admin does, by action, and the service in which it is done."""


async def _entries(live: Platform, **filters: str) -> list[dict[str, Any]]:
    """Returns every change that fits, page by page."""
    query = "&".join(f"{name}={quote(value)}" for name, value in filters.items())
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await live.ok("GET", f"{PATH}?{query}&page_size=5&page_token={token}", token=live.admin)
        found += page["entries"]
        if not (token := page["next_page_token"]):
            return found


@pytest_asyncio.fixture(scope="module")
async def busy(live: Platform) -> AsyncIterator[tuple[Staff, dict[str, str], datetime, datetime]]:
    """An admin who has done everything once; the target of each action; from when until when."""
    began = datetime.now(UTC)
    admin = await staff(live, "ADMIN")
    targets: dict[str, str] = {}

    async def do(action: str, path: str, body: dict[str, Any], made: str = "") -> str:
        told = await live.ok("POST", path, body, token=admin.token, key=unique())
        target = str(told[made]["id"]) if made else path.partition(":")[0].rpartition("/")[2]
        targets[action] = target
        return f"{path.partition(':')[0]}/{target}" if made else path

    person = {"user_name": new_name(), "full_name": "J", "role": "ROLE_CASHIER", "password": PASSWORD}
    path = await do("staff.created", "/v1/staff", person, "staff")
    await do("staff.role_changed", f"{path}:changeRole", {"role": "ROLE_MANAGER"})
    await do("staff.password_reset", f"{path}:resetPassword", {"password": "an umbrella swims to Norway"})
    await do("staff.disabled", f"{path}:disable", {})
    await do("staff.enabled", f"{path}:enable", {})
    path = await do("client.created", "/v1/clients", {"display_name": f"Till {unique()}"}, "client")
    await do("client.secret_rotated", f"{path}:rotateSecret", {"overlap_seconds": 60})
    await do("client.disabled", f"{path}:disable", {})
    await do("client.enabled", f"{path}:enable", {})
    path = f"/v1/members/{(await live.member()).id}"
    await do("member.suspended", f"{path}:suspend", {"reason": "a stolen phone"})
    await do("member.restored", f"{path}:restore", {"reason": "found it"})
    rule = {"name": "Bread", "exclusion": {"categories": ["bread"]}, "disabled": True}
    path = await do("earn_rule.created", "/v1/earn-rules", rule, "rule")
    await live.ok("DELETE", path, token=admin.token)
    targets["earn_rule.deleted"] = targets["earn_rule.created"]
    face = {"currency_code": "USD", "amount_minor": "500"}
    voucher = {"title": "Coupon", "face_value": face, "price_points": 500, "quantity": 1}
    await do("voucher.created", "/v1/vouchers", voucher, "voucher")
    campaign = {"name": "First", "places": 1, "benefit": {"percent_off": 30}}
    path = await do("campaign.created", "/v1/campaigns", campaign, "campaign")
    await do("campaign.ended", f"{path}:end", {})
    yield admin, targets, began, datetime.now(UTC)
    await live.ok("POST", f"/v1/staff/{admin.id}:disable", {}, token=live.admin)


Busy = tuple[Staff, dict[str, str], datetime, datetime]


async def _all_by(live: Platform, admin: Staff) -> list[dict[str, Any]]:
    """Returns all that an admin did, once all services have sent it."""

    async def all_there() -> list[dict[str, Any]]:
        found = await _entries(live, actor_id=admin.id)
        assert len(found) >= len(DONE)
        return found

    return await eventually(all_there, HEARD_SECONDS)


@pytest.mark.covers("I6 AuditService.ListAuditEntries")
async def test_what_an_admin_did_is_listed_newest_first_with_who_and_what(live: Platform, busy: Busy) -> None:
    admin, targets, began, ended = busy
    entries = await _all_by(live, admin)
    assert [entry["action"] for entry in entries] == list(reversed(DONE))
    assert {entry["action"]: entry["service"] for entry in entries} == DONE
    assert {entry["action"]: entry["target_id"] for entry in entries} == targets
    assert {entry["actor_role"] for entry in entries} == {"ROLE_ADMIN"}
    assert len({entry["id"] for entry in entries}) == len(entries)
    moments = [datetime.fromisoformat(entry["occurred_at"]) for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert began < moments[-1] <= moments[0] < ended
    told = {entry["action"]: entry["details"] for entry in entries}
    assert told["member.suspended"] == {"reason": "a stolen phone"}
    assert told["staff.role_changed"] == {"old_role": "cashier", "role": "manager"}
    for secret in (PASSWORD, "an umbrella swims to Norway", 'secret":'):
        assert secret not in str(entries)


async def test_each_filter_narrows_the_list_and_they_combine(live: Platform, busy: Busy) -> None:
    admin, targets, began, ended = busy
    await _all_by(live, admin)
    for service in ("identity", "points", "vouchers", "promos"):
        found = await _entries(live, actor_id=admin.id, service=service)
        assert [entry["action"] for entry in found] == [a for a in reversed(DONE) if DONE[a] == service]
    assert await _entries(live, actor_id=admin.id, service="nobody") == []
    (one,) = await _entries(live, actor_id=admin.id, action="client.disabled")
    assert one["target_id"] == targets["client.disabled"]
    found = await _entries(live, target_id=targets["client.created"])
    assert [entry["action"] for entry in found] == [a for a in reversed(DONE) if a.startswith("client.")]
    window = {"occurred_from": began.isoformat(), "occurred_until": ended.isoformat()}
    assert len(await _entries(live, actor_id=admin.id, **window)) == len(DONE)
    assert await _entries(live, actor_id=admin.id, occurred_until=began.isoformat()) == []
    assert await _entries(live, actor_id=admin.id, occurred_from=ended.isoformat()) == []
    # The moment itself belongs to what comes after it.
    since = await _entries(live, target_id=one["target_id"], occurred_from=one["occurred_at"])
    before = await _entries(live, target_id=one["target_id"], occurred_until=one["occurred_at"])
    assert since[-1] == one
    assert [*since, *before] == found


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("occurred_from=yesterday", "occurred_from"),
        ("page_size=201", "page_size"),
        ("actor_id=" + "x" * 65, "actor_id"),
        ("service=" + "x" * 33, "service"),
        ("who=me", "who"),
    ],
)
async def test_a_malformed_filter_is_refused(live: Platform, query: str, named: str) -> None:
    refused = await live.refused("GET", f"{PATH}?{query}", token=live.admin)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


async def test_a_page_token_goes_with_its_filters_only(live: Platform, busy: Busy) -> None:
    page = await live.ok("GET", f"{PATH}?service=identity&page_size=1", token=live.admin)
    query = f"service=promos&page_size=1&page_token={page['next_page_token']}"
    refused = await live.refused("GET", f"{PATH}?{query}", token=live.admin)
    assert (refused.status, refused.reason) == (400, "PAGE_TOKEN_NOT_VALID")
