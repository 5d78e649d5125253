"""Refunds: whole or in parts, once each, and what happens when the points are spent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.testing import RunningStack
from tests import invariants
from tests.e2e.people import staff
from tests.e2e.points import UNKNOWN, details, entries, line, record, refund, refunded, sale
from tests.platform import Member, Platform, at_once, refusal, start_platform

FLOOR = -300
BELOW_ZERO = {
    "SCRIP_REFUND_POLICY": "negative_balance",
    "SCRIP_BALANCE_FLOOR": str(FLOOR),
    "SCRIP_EXPIRE_MONTHS": "12",
}
FIGURES = ("points", "points_taken", "points_owed", "points_expired", "points_waived")


@pytest.fixture
def running_below_zero(tmp_path: Path) -> Iterator[RunningStack]:
    """A stack of its own, of a retailer whose members' balances may go below zero."""
    stack = start_platform(tmp_path, env_points=BELOW_ZERO)
    yield stack
    assert stack.stop() == 0


async def _bought(live: Platform, till: str, member: Member | None, *lines: dict[str, Any]) -> str:
    """Returns the id of a new purchase."""
    told = await record(live, till, sale(member, *lines))
    return str(told["purchase"]["id"])


def _figures(answer: Any) -> tuple[int, ...]:
    return tuple(answer["refund"][name] for name in FIGURES)


async def _shows(live: Platform, member: Member, balance: int) -> None:
    """The member and staff both see this balance, and staff the policy that allows it."""
    mine = await live.ok("GET", "/v1/members/me/points", token=member.token)
    assert mine == {"balance": balance, "debt": 0}
    seen = await live.ok("GET", f"/v1/members/{member.id}/points", token=live.admin)
    assert seen == mine | {
        "refund_policy": "REFUND_POLICY_NEGATIVE_BALANCE",
        "balance_floor": FLOOR,
        "closed": False,
    }


async def _expiring(live: Platform, member: Member) -> list[int]:
    """Returns how many points expire, day by day."""
    told = await live.ok("GET", "/v1/members/me/points/expiries", token=member.token)
    return [one["points"] for one in told["expiries"]]


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_parts_of_any_size_add_up_to_what_was_earned(live: Platform, member: Member, till: str) -> None:
    lines = [line(1_990, 3), line(555, 7), line(4_999, 1, alcohol=True), line(333, 4)]
    bought = await record(live, till, sale(member, *lines))
    earned, path = bought["purchase"]["points"], f"/v1/purchases/{bought['purchase']['id']}:refund"
    assert earned == (1_990 * 3 + 555 * 7 + 333 * 4) // 1_000
    parts = [(1, 2), (2, 3), (3, 1), (1, 1), (4, 4), (2, 4)]
    came_back, balance = 0, earned
    for part in parts:
        answer = await live.ok("POST", path, refund(part), token=till)
        assert answer["refund"]["points"] == answer["refund"]["points_taken"]
        came_back += answer["refund"]["points"]
        balance -= answer["refund"]["points"]
        assert answer["balance_after"] == balance == await live.balance(member)
    assert came_back == earned
    for body in (refund(), refund((1, 1))):
        refused = await live.refused("POST", path, body, token=till)
        assert (refused.status, refused.reason) == (
            400,
            "REFUND_EXCEEDS_PURCHASE" if body["lines"] else "NOTHING_TO_REFUND",
        )
    kept = await details(live, till, bought["purchase"]["id"])
    assert [one["quantity_left"] for one in kept["lines"]] == [0, 0, 0, 0]
    assert [[(one["line"], one["quantity"]) for one in r["lines"]] for r in kept["refunds"]] == [
        [part] for part in parts
    ]
    assert sum(int(r["amount"]["amount_minor"]) for r in kept["refunds"]) == int(
        kept["purchase"]["total"]["amount_minor"]
    )


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_one_refund_fifty_times_at_once_counts_once(live: Platform, member: Member, till: str) -> None:
    path = f"/v1/purchases/{await _bought(live, till, member, line(10_000, 5))}:refund"
    body = refund((1, 2), reason="Too small")
    answers = await at_once([live.call("POST", path, body, token=till) for _ in range(50)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert _figures(answers[0].json()) == (20, 20, 0, 0, 0)
    assert answers[0].json()["refund"]["reason"] == "Too small"
    other = await live.refused("POST", path, body | {"reason": "Too large"}, token=till)
    assert (other.status, other.reason) == (409, "REFUND_CONFLICT")
    assert other.metadata == {"refund_number": body["refund_number"]}
    assert await live.balance(member) == 30
    assert [entry["reason"] for entry in await entries(live, member, "kind=ENTRY_KIND_REFUND")] == [
        "Too small"
    ]


async def test_fifty_refunds_at_once_give_back_no_more_than_was_bought(
    live: Platform, member: Member, till: str
) -> None:
    path = f"/v1/purchases/{await _bought(live, till, member, line(1_500, 12), line(700))}:refund"
    answers = await at_once([live.call("POST", path, refund((1, 1)), token=till) for _ in range(50)])
    done = [answer.json()["refund"] for answer in answers if answer.status_code == 200]
    refused = [refusal(answer) for answer in answers if answer.status_code != 200]
    assert len(done) == 12
    assert {(r.reason, r.metadata["line"], r.metadata["quantity_left"]) for r in refused} == {
        ("REFUND_EXCEEDS_PURCHASE", "1", "0")
    }
    assert sum(one["points"] for one in done) == 18
    assert await live.balance(member) == 0
    invariants.check_ledger(live.databases["points"])


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_spent_points_are_owed_and_paid_by_what_is_earned_next(
    live: Platform, member: Member, till: str
) -> None:
    purchase_id = await _bought(live, till, member, line(600_000))
    await live.bought(member, await live.voucher(1))
    answer = await refunded(live, till, purchase_id, refund())
    assert (_figures(answer), answer["balance_after"]) == ((600, 100, 500, 0, 0), 0)
    me, seen_by_staff = "/v1/members/me/points", f"/v1/members/{member.id}/points"
    assert await live.ok("GET", me, token=member.token) == {"balance": 0, "debt": 500}
    assert await live.ok("GET", seen_by_staff, token=live.admin) == {
        "balance": 0,
        "debt": 500,
        "refund_policy": "REFUND_POLICY_DEBT",
        "balance_floor": 0,
        "closed": False,
    }
    await live.give(till, member, 420)
    assert await live.ok("GET", me, token=member.token) == {"balance": 0, "debt": 80}
    await live.give(till, member, 100)
    assert await live.ok("GET", me, token=member.token) == {"balance": 20, "debt": 0}
    moved = [(one["kind"], one["delta"], one["debt_delta"]) for one in await entries(live, member)]
    assert moved == [
        ("ENTRY_KIND_EARN", 20, -80),
        ("ENTRY_KIND_EARN", 0, -420),
        ("ENTRY_KIND_REFUND", -100, 500),
        ("ENTRY_KIND_SPEND", -500, 0),
        ("ENTRY_KIND_EARN", 600, 0),
    ]
    refused = await live.order(member, await live.voucher(1, points=21))
    assert refusal(refused).reason == "INSUFFICIENT_POINTS"


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_spent_points_take_the_balance_below_zero_to_the_floor_and_no_lower(
    running_below_zero: RunningStack,
) -> None:
    async with Platform(running_below_zero) as live:
        till, member = await live.till(), await live.member()
        large, small = [await _bought(live, till, member, line(cents)) for cents in (600_000, 100_000)]
        await live.bought(member, await live.voucher(1, points=650))
        answer = await refunded(live, till, large, refund())
        assert (_figures(answer), answer["balance_after"]) == ((600, 350, 0, 0, 250), FLOOR)
        answer = await refunded(live, till, small, refund())
        assert (_figures(answer), answer["balance_after"]) == ((100, 0, 0, 0, 100), FLOOR)
        await _shows(live, member, FLOOR)
        assert await _expiring(live, member) == []
        refused = await live.order(member, await live.voucher(1, points=1))
        assert refusal(refused).reason == "INSUFFICIENT_POINTS"
        invariants.check_ledger(live.databases["points"], floor=FLOOR)
        invariants.check_movements(live.databases["points"])

        # What is earned fills the hole first, and only the rest can be spent and expires.
        await live.give(till, member, 250)
        await _shows(live, member, FLOOR + 250)
        assert await _expiring(live, member) == []
        await live.give(till, member, 80)
        await _shows(live, member, 30)
        assert await _expiring(live, member) == [30]
        moved = [(one["kind"], one["delta"], one["balance_after"]) for one in await entries(live, member)]
        assert moved == [
            ("ENTRY_KIND_EARN", 80, 30),
            ("ENTRY_KIND_EARN", 250, -50),
            ("ENTRY_KIND_REFUND", -350, FLOOR),
            ("ENTRY_KIND_SPEND", -650, 50),
            ("ENTRY_KIND_EARN", 100, 700),
            ("ENTRY_KIND_EARN", 600, 600),
        ]
        refused = await live.order(member, await live.voucher(1, points=31))
        assert refusal(refused).reason == "INSUFFICIENT_POINTS"
        await live.bought(member, await live.voucher(1, points=30))
        await _shows(live, member, 0)
        assert await _expiring(live, member) == []
        invariants.check(live.databases)


async def test_goods_that_nobody_claimed_lower_what_the_claim_earns(
    live: Platform, member: Member, till: str
) -> None:
    told = await record(live, till, sale(None, line(10_000, 3)))
    answer = await refunded(live, till, told["purchase"]["id"], refund((1, 1)))
    assert (answer["refund"]["amount"]["amount_minor"], "balance_after" in answer) == ("10000", False)
    code = {"claim_code": told["claim"]["claim_code"]}
    claimed = await live.ok("POST", "/v1/members/me/purchases:claim", code, token=member.token)
    assert (claimed["purchase"]["points"], claimed["balance_after"]) == (20, 20)
    rest = await refunded(live, till, told["purchase"]["id"], refund())
    assert (_figures(rest), rest["balance_after"]) == ((20, 20, 0, 0, 0), 0)


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_a_refund_is_for_the_till_that_sold_and_for_staff(
    live: Platform, member: Member, ada: Member, till: str
) -> None:
    purchase_id = await _bought(live, till, member, line(10_000, 4))
    path, stranger = f"/v1/purchases/{purchase_id}:refund", await live.till()
    for token, method, where, body in (
        (stranger, "POST", path, refund()),
        (stranger, "GET", f"/v1/purchases/{purchase_id}", None),
        (till, "POST", f"/v1/purchases/{UNKNOWN}:refund", refund()),
        (live.admin, "GET", f"/v1/purchases/{UNKNOWN}", None),
        (ada.token, "GET", f"/v1/members/me/purchases/{purchase_id}", None),
    ):
        refused = await live.refused(method, where, body, token=token)
        assert (refused.status, refused.reason, refused.metadata) == (404, "PURCHASE_NOT_FOUND", {})
    refused = await live.refused("POST", path, refund(), token=member.token)
    assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
    for role in ("CASHIER", "MANAGER"):
        token = (await staff(live, role)).token
        assert _figures(await refunded(live, token, purchase_id, refund((1, 1))))[0] == 10
    assert await live.balance(member) == 20
    await live.at_rest(10)
    audited = await live.ok("GET", f"/v1/audit-entries?target_id={purchase_id}", token=live.admin)
    assert [entry["action"] for entry in audited["entries"]] == ["purchase.refunded"] * 2


@pytest.mark.covers("P1 PurchaseService.GetPurchase")
async def test_no_id_in_query_or_body_gets_around_the_path(live: Platform, member: Member, till: str) -> None:
    """In a GET a query parameter overrides the path: what counts is the decoded message."""
    foreign, stranger = await _bought(live, till, member, line(10_000)), await live.till()
    own = await _bought(live, stranger, member, line(20_000))
    refused = await live.refused("GET", f"/v1/purchases/{own}?purchase_id={foreign}", token=stranger)
    assert (refused.status, refused.reason) == (404, "PURCHASE_NOT_FOUND")
    mine = f"/v1/members/me/purchases/{own}?purchase_id={UNKNOWN}"
    assert (await live.refused("GET", mine, token=member.token)).reason == "PURCHASE_NOT_FOUND"
    for query, fields, named in (
        (f"?purchase_id={foreign}", {}, ["query"]),
        (f"?purchase_id={own}", {}, ["query"]),
        ("", {"purchase_id": foreign}, ["purchase_id"]),
    ):
        path = f"/v1/purchases/{own}:refund{query}"
        refused = await live.refused("POST", path, refund() | fields, token=stranger)
        assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", named)
    assert await live.balance(member) == 30


@pytest.mark.covers("P1 PurchaseService.FindPurchase")
async def test_a_purchase_is_found_by_its_receipt(live: Platform, member: Member, till: str) -> None:
    body = sale(member, line(10_000), till_number="7 north")
    purchase_id = (await record(live, till, body))["purchase"]["id"]
    query = f"receipt_number={body['receipt_number']}&till_number=7%20north"
    found = (await live.ok("GET", f"/v1/purchases:find?{query}", token=till))["details"]
    assert found == await details(live, live.admin, purchase_id)
    assert (found["member_id"], "claim_until" in found) == (member.id, False)
    mine = await live.ok("GET", f"/v1/members/me/purchases/{purchase_id}", token=member.token)
    assert mine["details"] == found
    by_staff = f"/v1/purchases:find?{query}&client_id={found['client_id']}"
    assert (await live.ok("GET", by_staff, token=live.admin))["details"] == found
    refused = await live.refused("GET", f"/v1/purchases:find?{query}", token=live.admin)
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", ["client_id"])
    for token, where in (
        (await live.till(), query),
        (await live.till(), f"{query}&client_id={found['client_id']}"),
        (till, f"receipt_number={body['receipt_number']}"),
    ):
        refused = await live.refused("GET", f"/v1/purchases:find?{where}", token=token)
        assert (refused.status, refused.reason) == (404, "PURCHASE_NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"refund_number": ""}, ["refund_number"]),
        ({"refund_number": "x" * 65}, ["refund_number"]),
        ({"reason": "x" * 201}, ["reason"]),
        ({"reason": "x\x00"}, ["reason"]),
        ({"lines": [{"line": 0, "quantity": 1}]}, ["lines[0].line"]),
        ({"lines": [{"line": 1, "quantity": 0}]}, ["lines[0].quantity"]),
        ({"lines": [{"line": 1, "quantity": -1}]}, ["lines[0].quantity"]),
        ({"lines": [{"line": 501, "quantity": 1}]}, ["lines[0].line"]),
        ({"lines": [{"line": 2, "quantity": 1}]}, ["lines[0].line"]),
        ({"lines": [{"line": 1, "quantity": 1}] * 2}, ["lines[1].line"]),
        ({"lines": [{"line": 1, "quantity": 1}] * 501}, ["lines"]),
    ],
)
async def test_a_refund_that_makes_no_sense_is_refused(
    live: Platform, ada: Member, till: str, change: dict[str, Any], fields: list[str]
) -> None:
    purchase_id = await _bought(live, till, ada, line(0, 2))
    path = f"/v1/purchases/{purchase_id}:refund"
    refused = await live.refused("POST", path, refund() | change, token=till)
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", fields)
    kept = await details(live, till, purchase_id)
    assert (kept["refunds"], kept["lines"][0]["quantity_left"]) == ([], 2)


async def test_refunds_orders_and_purchases_at_once_keep_the_books(
    live: Platform, member: Member, till: str
) -> None:
    bought = [await _bought(live, till, member, line(5_000, 10)) for _ in range(6)]
    voucher = await live.voucher(100, points=40)
    calls = [
        *(refunded(live, till, one, refund((1, 5), number=f"F{n}")) for one in bought for n in (1, 2)),
        *(live.order(member, voucher) for _ in range(12)),
        *(record(live, till, sale(member, line(1_000, 10))) for _ in range(12)),
    ]
    answers = await at_once(list(itertools.chain(calls[::2], calls[1::2])))
    assert len(answers) == 36
    told = await live.ok("GET", "/v1/members/me/points", token=member.token)
    orders = [a.json()["order"] for a in answers if not isinstance(a, dict) and a.status_code == 200]
    spent = 40 * len(orders)
    assert told["balance"] - told["debt"] == 120 - spent
    assert told["balance"] == 0 or told["debt"] == 0
    invariants.check(live.databases)
