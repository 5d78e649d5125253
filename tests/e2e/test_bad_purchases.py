"""Receipts that lie, overflow or belong to somebody else: refused one by one, in batches too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests import invariants
from tests.e2e.points import HEARD_SECONDS, days_ago, line, record, sale
from tests.platform import Member, Platform, assert_discreet, at_once, eventually, purchase

BATCH = "/v1/purchases:batch"
BATCH_LIMIT = 8 << 20
LARGEST_PRICE, MOST = 10**10, 100_000
UNKNOWN_CODE = "ZZZZZZZZZZZZ"


def _counted(live: Platform) -> list[dict[str, Any]]:
    query = "SELECT (SELECT count(*) FROM receipts) AS a, (SELECT sum(balance) FROM accounts) AS b"
    return invariants.rows(live.databases["points"], query)


@pytest.fixture
def nothing_recorded(live: Platform, ada: Member, till: str) -> Iterator[None]:
    """That the test has no effect."""
    before = _counted(live)
    yield
    assert _counted(live) == before


def _batch(*receipts: Any) -> dict[str, Any]:
    return {"purchases": list(receipts)}


async def _sent(live: Platform, till: str, *receipts: Any) -> list[dict[str, Any]]:
    """Returns what became of each receipt of a batch."""
    told = await live.ok("POST", BATCH, _batch(*receipts), token=till)
    results: list[dict[str, Any]] = told["results"]
    assert len(results) == len(receipts)
    return results


def _timeless(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the results without the times that a refusal counts from now, which differ each second."""
    return [{} if "refused" in one and _reason(one) == "SALE_TIME_OUT_OF_RANGE" else one for one in results]


def _reason(result: dict[str, Any]) -> str:
    """Returns why one of a batch is refused, in the shape of all refusals."""
    status = result["refused"]
    assert_discreet(status["message"])
    assert status["details"][0]["@type"].endswith("google.rpc.ErrorInfo")
    return str(status["details"][0]["reason"])


ITEM_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"unit_price_minor": "-1"}, "unit_price_minor"),
    ({"unit_price_minor": str(-(2**63))}, "unit_price_minor"),
    ({"unit_price_minor": str(LARGEST_PRICE + 1)}, "unit_price_minor"),
    ({"unit_price_minor": str(2**63 - 1)}, "unit_price_minor"),
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": MOST + 1}, "quantity"),
    ({"quantity": 2**31 - 1}, "quantity"),
    ({"sku": "x" * 65}, "sku"),
    ({"category": "x" * 65}, "category"),
]
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"currency_code": "EUR"}, "CURRENCY_NOT_SUPPORTED"),
    ({"currency_code": "USDT"}, "VALIDATION_FAILED"),
    ({"items": [line(LARGEST_PRICE, MOST)]}, "RECEIPT_TOO_LARGE"),
    ({"items": [line(LARGEST_PRICE, MOST)] * 500}, "RECEIPT_TOO_LARGE"),
    ({"items": [line(LARGEST_PRICE, 10), line(1)]}, "RECEIPT_TOO_LARGE"),
    ({"items": []}, "VALIDATION_FAILED"),
    ({"items": [line(100)] * 501}, "VALIDATION_FAILED"),
    ({"total_minor": "1001"}, "TOTAL_MISMATCH"),
    ({"total_minor": "0"}, "TOTAL_MISMATCH"),
    ({"total_minor": str(2**63 - 1)}, "TOTAL_MISMATCH"),
    ({"total_minor": "-1000"}, "VALIDATION_FAILED"),
    ({"sold_at": days_ago(31).isoformat()}, "SALE_TIME_OUT_OF_RANGE"),
    ({"sold_at": days_ago(30.01).isoformat()}, "SALE_TIME_OUT_OF_RANGE"),
    ({"sold_at": "9999-12-31T23:59:59Z"}, "SALE_TIME_OUT_OF_RANGE"),
    ({"member_code": UNKNOWN_CODE}, "MEMBER_CODE_UNKNOWN"),
    ({"member_code": "Ω" * 12}, "MEMBER_CODE_UNKNOWN"),
    ({"receipt_number": ""}, "VALIDATION_FAILED"),
    ({"receipt_number": "1\x00"}, "VALIDATION_FAILED"),
    ({"till_number": "x" * 33}, "VALIDATION_FAILED"),
]


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize(("change", "field"), ITEM_FAULTS)
async def test_a_line_out_of_range_is_refused_alone_and_in_a_batch(
    live: Platform, ada: Member, till: str, change: dict[str, Any], field: str
) -> None:
    body = sale(ada, line(100), line(100) | change)
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert (refused.status, refused.reason, refused.fields) == (
        400,
        "VALIDATION_FAILED",
        [f"items[1].{field}"],
    )
    [result] = await _sent(live, till, body)
    assert result["refused"]["message"] == refused.message
    assert result["refused"]["details"] == refused.body["details"]


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize(("change", "reason"), FAULTS)
async def test_a_receipt_that_lies_is_refused_alone_and_in_a_batch(
    live: Platform, ada: Member, till: str, change: dict[str, Any], reason: str
) -> None:
    body = sale(ada, line(1_000)) | change
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert refused.reason == reason
    [result] = await _sent(live, till, body)
    assert (_reason(result), result["refused"]["code"]) == (reason, refused.body["code"])


@pytest.mark.parametrize(
    "fields",
    [
        {"days": 29.99},
        {"days": -30 / 86_400},
        {"total_minor": "1000"},
        {"total_minor": None},
    ],
)
async def test_what_is_barely_right_is_recorded(
    live: Platform, member: Member, till: str, fields: dict[str, Any]
) -> None:
    changed = {"sold_at": days_ago(fields["days"])} if "days" in fields else fields
    told = await record(live, till, sale(member, line(1_000), **changed))
    assert told["purchase"]["points"] == 1


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_the_largest_receipt_is_exact(live: Platform, member: Member, till: str) -> None:
    lines = [line(LARGEST_PRICE, 9), *[line(10**7, 2)] * 499, line(10**10 - 499 * 2 * 10**7 - 1)]
    told = await record(live, till, sale(member, *lines[:500]))
    total = sum(int(one["unit_price_minor"]) * one["quantity"] for one in lines[:500])
    assert told["purchase"]["total"]["amount_minor"] == str(total)
    assert told["purchase"]["points"] == total // 1_000 == await live.balance(member)


async def test_a_balance_stays_within_its_limit(live: Platform, member: Member, till: str) -> None:
    for _ in range(21):
        await record(live, till, sale(member, line(LARGEST_PRICE, 10)))
    over = sale(member, line(LARGEST_PRICE, 10))
    refused = await live.refused("POST", "/v1/purchases", over, token=till)
    assert (refused.status, refused.reason) == (400, "BALANCE_LIMIT_REACHED")
    small, large, other = sale(member, line(1_000)), over, sale(None, line(1_000))
    results = await _sent(live, till, small, large, other)
    assert [_reason(one) if "refused" in one else "" for one in results] == ["", "BALANCE_LIMIT_REACHED", ""]
    assert await live.balance(member) == 21 * 10**8 + 1


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_bad_receipts_spare_their_neighbours(live: Platform, member: Member, till: str) -> None:
    good = [sale(member, line(1_000)) for _ in range(len(FAULTS) + 1)]
    bad = [sale(member, line(1_000)) | change for change, _ in FAULTS]
    mixed = [one for pair in zip(good, bad, strict=False) for one in pair] + [good[-1], good[0]]
    conflict = good[1] | {"items": [line(2_000)]}
    results = await _sent(live, till, *mixed, conflict)
    told = [_reason(one) if "refused" in one else "" for one in results]
    assert told[1:-3:2] == [reason for _, reason in FAULTS]
    assert set(told[0:-3:2]) | {told[-3], told[-2]} == {""}
    assert told[-1] == "RECEIPT_CONFLICT"
    assert results[-2] == results[0]
    assert await live.balance(member) == len(good)
    again = await _sent(live, till, *mixed, conflict)
    assert [_reason(one) if "refused" in one else "" for one in again] == told
    assert _timeless(again) == _timeless(results)


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_a_batch_sent_ten_times_at_once_counts_once(live: Platform, till: str) -> None:
    members = await live.members(5)
    receipts = [sale(members[n % 5], line(1_000 * (n % 3 + 1))) for n in range(100)]
    answers = await at_once(
        [
            live.call("POST", BATCH, _batch(*receipts[n * 5 :], *receipts[: n * 5]), token=till)
            for n in range(10)
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    first = answers[0].json()["results"]
    for n, answer in enumerate(answers):
        assert answer.json()["results"] == first[n * 5 :] + first[: n * 5]
    balances = [await live.balance(member) for member in members]
    assert sum(balances) == sum(n % 3 + 1 for n in range(100))
    single = await record(live, till, receipts[42])
    assert single == first[42]["recorded"]


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("count", [0, 1_001])
async def test_too_few_or_too_many_receipts_are_refused_as_a_whole(
    live: Platform, ada: Member, till: str, count: int
) -> None:
    body = _batch(*[sale(ada, line(100))] * count)
    refused = await live.refused("POST", BATCH, body, token=till)
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", ["purchases"])


async def test_a_thousand_receipts_are_answered_in_their_order(
    live: Platform, member: Member, till: str
) -> None:
    receipts = [sale(member, line(1_000)) for _ in range(1_000)]
    results = await _sent(live, till, *receipts)
    assert [one["recorded"]["purchase"]["receipt_number"] for one in results] == [
        one["receipt_number"] for one in receipts
    ]
    assert await live.balance(member) == 1_000


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
@pytest.mark.usefixtures("nothing_recorded")
async def test_a_batch_that_is_too_large_is_413_and_other_bodies_have_their_own_limit(
    live: Platform, ada: Member, till: str
) -> None:
    large = _batch(sale(ada, line(100), till_number="x" * BATCH_LIMIT))
    refused = await live.refused("POST", BATCH, large, token=till)
    assert (refused.status, refused.reason, refused.metadata) == (
        413,
        "REQUEST_TOO_LARGE",
        {"limit_bytes": str(BATCH_LIMIT)},
    )
    fits = _batch(sale(ada, line(100), till_number="x" * (2 << 20)))
    [result] = (await live.ok("POST", BATCH, fits, token=till))["results"]
    assert _reason(result) == "VALIDATION_FAILED"
    single = await live.refused("POST", "/v1/purchases", fits["purchases"][0], token=till)
    assert (single.status, single.metadata) == (413, {"limit_bytes": str(1 << 20)})


@pytest.mark.usefixtures("nothing_recorded")
async def test_only_tills_record(live: Platform, ada: Member) -> None:
    for token in (ada.token, live.admin):
        for path, body in (("/v1/purchases", sale(ada, line(1))), (BATCH, _batch(sale(ada, line(1))))):
            refused = await live.refused("POST", path, body, token=token)
            assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
@pytest.mark.parametrize("out", ["suspended", "closed"])
async def test_purchases_of_who_is_out_are_kept_without_a_member_or_refused(
    live: Platform, member: Member, till: str, out: str
) -> None:
    body = purchase(member, 1_000)
    first = await record(live, till, body)
    if out == "suspended":
        why = {"reason": "Under review"}
        await live.ok("POST", f"/v1/members/{member.id}:suspend", why, token=live.admin)
    else:
        await live.close(member)

    async def is_out() -> None:
        [result] = await _sent(live, till, purchase(member, 0))
        if out == "suspended":
            assert result["recorded"]["member_suspended"]
        else:
            assert "refused" in result
            assert _reason(result) == "MEMBER_CODE_UNKNOWN"

    await eventually(is_out, HEARD_SECONDS)
    if out == "suspended":
        kept = await record(live, till, purchase(member, 0))
        assert (kept["member_suspended"], "balance_after" in kept, "claim" in kept) == (True, False, True)
    else:
        refused = await live.refused("POST", "/v1/purchases", purchase(member, 0), token=till)
        assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")
    assert await record(live, till, body) == first
    if out == "suspended":
        await live.ok("POST", f"/v1/members/{member.id}:restore", {"reason": "Fine"}, token=live.admin)

        async def is_in() -> None:
            answer = await live.call("POST", "/v1/purchases", purchase(member, 0), token=till)
            assert answer.status_code == 200

        await eventually(is_in, HEARD_SECONDS)


async def test_the_same_number_at_another_till_is_another_receipt(
    live: Platform, member: Member, till: str
) -> None:
    body, other = sale(member, line(1_000)), await live.till()
    told = [
        await record(live, token, body | fields)
        for token, fields in ((till, {}), (till, {"till_number": "2"}), (other, {}))
    ]
    assert len({one["purchase"]["id"] for one in told}) == 3
    refused = await live.refused("POST", "/v1/purchases", body | {"items": [line(2_000)]}, token=other)
    assert (refused.status, refused.reason) == (409, "RECEIPT_CONFLICT")
    assert refused.metadata == {
        "receipt_number": body["receipt_number"],
        "purchase_id": told[2]["purchase"]["id"],
    }


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_tills_that_replay_their_day_while_it_goes_on_count_each_sale_once(
    live: Platform, till: str
) -> None:
    members, opened = await live.members(4), days_ago(1)
    times = [opened + timedelta(minutes=n) for n in range(200)]
    day = [sale(members[n % 4], line(1_000), sold_at=time) for n, time in enumerate(times)]
    halves = [day[:120], day[80:], day[::3], list(reversed(day))]
    told = await at_once([_sent(live, till, *half) for half in halves])
    singles = [record(live, till, one) for one in day[::10]]
    again = await asyncio.gather(*singles)
    assert all("recorded" in one for results in told for one in results)
    assert [one["purchase"]["receipt_number"] for one in again] == [
        one["receipt_number"] for one in day[::10]
    ]
    assert [await live.balance(member) for member in members] == [50] * 4
    invariants.check_movements(live.databases["points"])
