"""Promo points as staff, members and tills know them, over REST."""

from __future__ import annotations

import asyncio

from services.common.ids import new_id
from tests.platform import Member, Platform, at_once, eventually


async def _give(live: Platform, member: Member, amount: str) -> str:
    """Gives a member a promo, as soon as promos knows of it; returns its id."""
    me = await live.ok("GET", "/v1/members/me", token=member.token)
    wanted = {
        "member_id": me["member"]["id"],
        "type": "PROMO_TYPE_COMPENSATION",
        "description": "Sorry for the wait",
        "amount": amount,
    }
    key = str(new_id())

    async def given() -> str:
        made = await live.ok("POST", "/v1/promos", wanted, token=live.admin, key=key)
        return str(made["promo"]["id"])

    return await eventually(given)


async def test_an_admin_gives_100_and_the_member_uses_30_of_them(live: Platform) -> None:
    [member] = await live.members(1)
    promo = await _give(live, member, "100")
    key = str(new_id())
    answers = await at_once(
        [
            live.call(
                "POST", f"/v1/members/me/promos/{promo}:use", {"amount": "30"}, token=member.token, key=key
            )
            for _ in range(20)
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["use"]["remaining"] for answer in answers} == {"70"}
    mine = await live.ok("GET", "/v1/members/me/promos", token=member.token)
    assert [(one["amount"], one["used"], one["remaining"]) for one in mine["promos"]] == [("100", "30", "70")]
    refused = await live.refused(
        "POST", f"/v1/members/me/promos/{promo}:use", {"amount": 71}, token=member.token, key=str(new_id())
    )
    assert (refused.reason, refused.metadata) == ("PROMO_POINTS_INSUFFICIENT", {"remaining": "70"})


async def test_a_till_uses_them_for_a_member_who_shows_the_code(live: Platform, till: str) -> None:
    [member] = await live.members(1)
    promo = await _give(live, member, "100")
    sale = {"member_code": member.code, "amount": "40", "sale_reference": str(new_id())}
    used = await live.ok("POST", "/v1/promos:use", sale, token=till)
    assert [(use["promo_id"], use["remaining"]) for use in used["uses"]] == [(promo, "60")]
    assert await live.ok("POST", "/v1/promos:use", sale, token=till) == used
    cancelling = f"/v1/promo-uses/{used['promo_use_id']}:cancel"
    await asyncio.gather(*(live.ok("POST", cancelling, {}, token=till) for _ in range(5)))
    kept = await live.ok("GET", f"/v1/promos/{promo}", token=live.admin)
    assert kept["promo"]["remaining"] == "100"
