"""Staff look at a member's points; nobody reaches another's by a trick of the URL."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.people import staff
from tests.e2e.points import UNKNOWN, line, record, refund, refunded, sale
from tests.platform import Member, Platform, unique

LISTS = ("points/entries", "points/expiries", "purchases")


@pytest_asyncio.fixture(scope="module")
async def outsiders(live: Platform, ada: Member, till: str) -> list[str]:
    """Tokens of some who have no business with a member's points."""
    return [till, ada.token, (await staff(live, "BRAND_MANAGER")).token]


@pytest.mark.covers("P4 PointsAdminService.ListMemberEntries", "P4 PointsAdminService.ListMemberPurchases")
async def test_staff_see_what_the_member_sees(live: Platform, member: Member, till: str) -> None:
    bought = [await record(live, till, sale(member, line(10_000, 3))) for _ in range(3)]
    await refunded(live, till, bought[0]["purchase"]["id"], refund((1, 1)))
    for role in ("CASHIER", "MANAGER"):
        token = (await staff(live, role)).token
        for what in LISTS:
            seen = await live.ok("GET", f"/v1/members/{member.id}/{what}", token=token)
            assert seen == await live.ok("GET", f"/v1/members/me/{what}", token=member.token)
        told = await live.ok("GET", f"/v1/members/{member.id}/points", token=token)
        assert (told["balance"], told["debt"], told["closed"]) == (80, 0, False)


async def test_one_who_never_had_points_has_none(live: Platform) -> None:
    for nobody in (UNKNOWN, (await live.member()).id):
        told = await live.ok("GET", f"/v1/members/{nobody}/points", token=live.admin)
        assert (told["balance"], told["debt"]) == (0, 0)
        for what in LISTS:
            told = await live.ok("GET", f"/v1/members/{nobody}/{what}", token=live.admin)
            assert [*told.values()] == [[], ""]


@pytest.mark.covers("P4 PointsAdminService.GetMemberPoints")
@pytest.mark.parametrize("what", ["points", *LISTS])
async def test_members_tills_and_brands_see_no_members(
    live: Platform, member: Member, outsiders: list[str], till: str, what: str
) -> None:
    for token in (*outsiders, member.token):
        refused = await live.refused("GET", f"/v1/members/{member.id}/{what}", token=token)
        assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
    for token in (till, live.admin):
        refused = await live.refused("GET", f"/v1/members/me/{what}", token=token)
        assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
    malformed = await live.refused("GET", f"/v1/members/1/{what}", token=live.admin)
    assert (malformed.status, malformed.reason, malformed.fields) == (400, "VALIDATION_FAILED", ["member_id"])


@pytest.mark.parametrize("what", ["points", *LISTS])
async def test_a_member_can_not_name_another_in_the_query(
    live: Platform, member: Member, ada: Member, what: str
) -> None:
    path = f"/v1/members/me/{what}?member_id={ada.id}"
    refused = await live.refused("GET", path, token=member.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert "member_id" in refused.message


async def test_me_is_no_member_to_adjust_or_to_claim_for(live: Platform, member: Member, till: str) -> None:
    body: dict[str, Any] = {"delta": 1, "reason": "For me"}
    for token, told in ((live.admin, (400, "VALIDATION_FAILED")), (member.token, (403, "ROLE_NOT_ALLOWED"))):
        refused = await live.refused("POST", "/v1/members/me/points:adjust", body, token=token, key=unique())
        assert (refused.status, refused.reason) == told
    claim = {"claim_code": "0" * 12}
    path = f"/v1/members/{member.id}/purchases:claim"
    for token in (member.token, live.admin):
        refused = await live.refused("POST", path, claim, token=token)
        assert (refused.status, refused.reason) == (404, "ROUTE_NOT_FOUND")


async def test_an_adjustment_names_its_member_once(live: Platform, member: Member, ada: Member) -> None:
    body = {"delta": 1, "reason": "Mixed up", "member_id": ada.id}
    path = f"/v1/members/{member.id}/points:adjust"
    refused = await live.refused("POST", path, body, token=live.admin, key=unique())
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert (await live.balance(member), await live.balance(ada)) == (0, 1_000)


@pytest.mark.covers("P8 PointsInternalService.Debit")
@pytest.mark.parametrize("method", ["Debit", "UndoDebit"])
async def test_nobody_but_vouchers_spends(live: Platform, ada: Member, till: str, method: str) -> None:
    body = {"order_id": UNKNOWN, "member_id": ada.id, "points": 1}
    path = f"/scrip.points.internal.v1.PointsInternalService/{method}"
    for token in (ada.token, till, live.admin, ""):
        refused = await live.refused("POST", path, body, token=token)
        assert (refused.status, refused.reason) == (404, "ROUTE_NOT_FOUND")
    assert await live.balance(ada) == 1_000
