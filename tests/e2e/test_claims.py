"""Purchases without a member: claimed later by the code on the receipt, or at the till, once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests import invariants
from tests.e2e.points import HEARD_SECONDS, days_ago, details, entries, line, record, refund, sale
from tests.platform import Member, Platform, at_once, eventually, purchase, refusal

MINE = "/v1/members/me/purchases:claim"
AT_THE_TILL = "/v1/purchases:claim"
CLAIM_DAYS = timedelta(days=14)
WRONG_CODES = 10


@pytest.fixture
def tokens(ada: Member, till: str) -> dict[str, str]:
    """A good token for each way to claim."""
    return {MINE: ada.token, AT_THE_TILL: till}


def _by_code(told: Any) -> dict[str, str]:
    return {"claim_code": told["claim"]["claim_code"]}


def _at_the_till(body: dict[str, Any], member: Member) -> dict[str, str]:
    return {"receipt_number": body["receipt_number"], "member_code": member.code}


async def test_a_member_claims_by_the_code_on_the_receipt(
    live: Platform, member: Member, ada: Member, till: str
) -> None:
    body = sale(None, line(42_000))
    answer = await live.call("POST", "/v1/purchases", body, token=till)
    told = answer.json()
    bought = told["purchase"]
    assert (bought["points"], bought["bonus_points"], "balance_after" in told) == (42, 0, False)
    until = datetime.fromisoformat(told["claim"]["claim_until"])
    assert until == datetime.fromisoformat(bought["sold_at"]) + CLAIM_DAYS
    kept = await details(live, till, bought["id"])
    assert (kept["member_id"], kept["claim_until"]) == ("", told["claim"]["claim_until"])

    code = told["claim"]["claim_code"]
    typed = {"claim_code": f"{code[:4].lower()}-{code[4:8]} {code[8:]}"}
    claimed = await live.call("POST", MINE, typed, token=member.token)
    assert claimed.json() == {"purchase": bought, "balance_after": 42}
    assert (await live.call("POST", MINE, typed, token=member.token)).content == claimed.content
    listed = await live.ok("GET", "/v1/members/me/purchases", token=member.token)
    assert listed["purchases"] == [bought]
    assert [entry["purchase_id"] for entry in await entries(live, member)] == [bought["id"]]
    kept = await details(live, till, bought["id"])
    assert (kept["member_id"], "claim_until" in kept) == (member.id, False)

    # The till that did not get the response gets it still; nobody else gets anything.
    assert (await live.call("POST", "/v1/purchases", body, token=till)).content == answer.content
    refused = await live.refused("POST", MINE, typed, token=ada.token)
    assert (refused.status, refused.reason, refused.metadata) == (404, "CLAIM_CODE_NOT_VALID", {})


@pytest.mark.covers("P1 PurchaseService.ClaimPurchase")
async def test_a_till_claims_its_receipt_for_who_shows_a_code(
    live: Platform, member: Member, ada: Member, till: str
) -> None:
    body = sale(None, line(10_000))
    told = await record(live, till, body)
    refused = await live.refused("POST", AT_THE_TILL, _at_the_till(body, member), token=await live.till())
    assert (refused.status, refused.reason) == (404, "PURCHASE_NOT_FOUND")
    nobody = _at_the_till(body, member) | {"member_code": "ZZZZZZZZZZZZ"}
    refused = await live.refused("POST", AT_THE_TILL, nobody, token=till)
    assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")

    signed = (await live.ok("GET", "/v1/members/me/code?signed=true", token=member.token))["member_code"]
    shown = _at_the_till(body, member) | {"member_code": signed}
    claimed = await live.ok("POST", AT_THE_TILL, shown, token=till)
    assert claimed == {"purchase": told["purchase"], "balance_after": 10}
    assert await live.ok("POST", AT_THE_TILL, shown, token=till) == claimed
    other = sale(None, line(10_000))
    await record(live, till, other)
    replayed = _at_the_till(other, member) | {"member_code": signed}
    refused = await live.refused("POST", AT_THE_TILL, replayed, token=till)
    assert (refused.status, refused.reason) == (400, "MEMBER_CODE_REPLAYED")
    refused = await live.refused("POST", AT_THE_TILL, _at_the_till(body, ada), token=till)
    assert (refused.status, refused.reason) == (400, "PURCHASE_CLAIMED")
    assert await live.balance(member) == 10


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_of_fifty_claims_at_once_one_gets_the_points(live: Platform, till: str) -> None:
    members = await live.members(10)
    body = sale(None, line(77_000))
    told = await record(live, till, body)
    answers = await at_once(
        [live.call("POST", MINE, _by_code(told), token=members[n % 10].token) for n in range(30)]
        + [live.call("POST", AT_THE_TILL, _at_the_till(body, members[n]), token=till) for n in range(10)]
        + [live.call("POST", "/v1/purchases", body, token=till) for _ in range(10)]
    )
    won = [answer for answer in answers[:40] if answer.status_code == 200]
    assert 1 <= len(won) <= 4
    assert len({answer.content for answer in won}) == 1
    lost = {refusal(answer).reason for answer in answers[:40] if answer.status_code != 200}
    assert lost == {"CLAIM_CODE_NOT_VALID", "PURCHASE_CLAIMED"}
    assert {answer.content for answer in answers[40:]} == {
        (await live.call("POST", "/v1/purchases", body, token=till)).content
    }
    assert sorted([await live.balance(member) for member in members]) == [0] * 9 + [77]
    invariants.check_movements(live.databases["points"])


async def test_after_two_weeks_a_purchase_is_nobodys_for_ever(
    live: Platform, member: Member, till: str
) -> None:
    body = sale(None, line(10_000), sold_at=days_ago(14.01))
    told = await record(live, till, body)
    for path, wanted, token in (
        (MINE, _by_code(told), member.token),
        (AT_THE_TILL, _at_the_till(body, member), till),
    ):
        refused = await live.refused("POST", path, wanted, token=token)
        assert (refused.status, refused.reason) == (400, "CLAIM_EXPIRED")
        until = datetime.fromisoformat(refused.metadata["claim_until"])
        told_until = datetime.fromisoformat(told["claim"]["claim_until"])
        assert until == told_until.replace(microsecond=0)
    await live.ok("POST", f"/v1/purchases/{told['purchase']['id']}:refund", refund(), token=till)
    assert await live.balance(member) == 0


async def test_ten_wrong_codes_close_claiming_for_the_member_alone(
    live: Platform, member: Member, till: str
) -> None:
    good = _by_code(await record(live, till, sale(None, line(10_000))))
    for n in range(WRONG_CODES):
        wrong = {"claim_code": f"{n:012d}" if n else "not a code"}
        refused = await live.refused("POST", MINE, wrong, token=member.token)
        assert (refused.status, refused.reason) == (404, "CLAIM_CODE_NOT_VALID")
    refused = await live.refused("POST", MINE, good, token=member.token)
    assert (refused.status, refused.reason) == (429, "TOO_MANY_REQUESTS")
    other = await live.member()
    assert (await live.ok("POST", MINE, good, token=other.token))["balance_after"] == 10


async def test_members_who_are_out_claim_nothing(live: Platform, member: Member, till: str) -> None:
    body = sale(None, line(10_000))
    told = await record(live, till, body)
    why = {"reason": "Under review"}
    await live.ok("POST", f"/v1/members/{member.id}:suspend", why, token=live.admin)

    async def is_out() -> None:
        refused = await live.refused("POST", AT_THE_TILL, _at_the_till(body, member), token=till)
        assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")
        refused = await live.refused("POST", MINE, _by_code(told), token=member.token)
        assert (refused.status, refused.reason) == (403, "ACCOUNT_SUSPENDED")

    await eventually(is_out, HEARD_SECONDS)
    assert (await details(live, till, told["purchase"]["id"]))["member_id"] == ""


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (MINE, {}, "claim_code"),
        (MINE, {"claim_code": "x" * 65}, "claim_code"),
        (AT_THE_TILL, {"member_code": "X"}, "receipt_number"),
        (AT_THE_TILL, {"receipt_number": "1"}, "member_code"),
        (AT_THE_TILL, {"receipt_number": "1\x00", "member_code": "X"}, "receipt_number"),
    ],
)
async def test_a_claim_that_makes_no_sense_is_refused(
    live: Platform, tokens: dict[str, str], path: str, body: dict[str, str], field: str
) -> None:
    refused = await live.refused("POST", path, body, token=tokens[path])
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", [field])


async def test_each_way_to_claim_is_for_its_own_callers(live: Platform, ada: Member, till: str) -> None:
    code, receipt = {"claim_code": "0" * 12}, {"receipt_number": "1", "member_code": ada.code}
    for path, body, token in (
        (MINE, code, till),
        (MINE, code, live.admin),
        (AT_THE_TILL, receipt, ada.token),
        (AT_THE_TILL, receipt, live.admin),
    ):
        refused = await live.refused("POST", path, body, token=token)
        assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")


async def test_a_receipt_is_either_with_a_member_or_without(
    live: Platform, member: Member, till: str
) -> None:
    body = purchase(member, 10_000) | {"member_code": ""}
    told = await record(live, till, body)
    refused = await live.refused("POST", "/v1/purchases", body | {"member_code": member.code}, token=till)
    assert (refused.status, refused.reason) == (409, "RECEIPT_CONFLICT")
    assert refused.metadata["purchase_id"] == told["purchase"]["id"]
