"""Lines by weight and with totals of their own, and redemptions: recorded, read, sent again and refunded."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc
import pytest
from scrip.points.v1 import points_pb2, points_pb2_grpc, purchase_pb2

from services.points.purchases.tests.test_batches import batch
from services.points.tests.returns import (
    change,
    claim_mine,
    encoded,
    fields_refused,
    find,
    get,
    get_mine,
    refund,
    split,
    unclaimed,
)
from services.points.tests.support import Points, item, receipt
from tests.inprocess import Platform, bearer, reason, refusal

RefundLine = purchase_pb2.RefundLine
PRICE = 1_999
"""Of a kilogram."""


def by_weight(milli: int, total_minor: int | None = None, price_minor: int = PRICE) -> Any:
    """Returns a line of so many thousandths."""
    return purchase_pb2.PurchaseItem(
        sku="30", name="Gouda", unit_price_minor=price_minor, quantity_milli=milli, total_minor=total_minor
    )


def at_total(total_minor: int, price_minor: int = 500, quantity: int = 3) -> Any:
    """Returns a line of whole pieces with a total of its own."""
    line = item(price_minor, quantity)
    line.total_minor = total_minor
    return line


async def kept(points: Points, purchase_id: str) -> list[tuple[Any, ...]]:
    """Returns how the table has the lines of a purchase."""
    return await points.rows(
        "SELECT quantity, quantity_milli, total_minor, refunded FROM purchase_items"
        " WHERE purchase_id = %(id)s::uuid ORDER BY line",
        id=purchase_id,
    )


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_what_lines_cost_counts_whatever_price_and_quantity_say(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    lines = [by_weight(345), at_total(1_000), by_weight(2_000, 9_000), item(1_000, 2), at_total(0)]
    request = receipt(member.code, *lines, total_minor=690 + 1_000 + 9_000 + 2_000)
    reply = await points.record(request)
    assert (reply.purchase.points, reply.purchase.total.amount_minor) == (12, 12_690)
    assert await kept(points, reply.purchase.id) == [
        (0, 345, 690, 0),
        (3, None, 1_000, 0),
        (0, 2_000, 9_000, 0),
        (2, None, None, 0),
        (3, None, 0, 0),
    ]
    request.items[0].total_minor, request.items[3].total_minor = 690, 2_000  # as they are anyway
    assert encoded(await points.record(request)) == encoded(reply)
    request.items[0].total_minor = 691
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"
    shown = (await get(points, reply.purchase.id)).lines
    assert [(one.item.WhichOneof("amount"), one.item.total_minor) for one in shown] == [
        ("quantity_milli", 690),
        ("quantity", 1_000),
        ("quantity_milli", 9_000),
        ("quantity", 2_000),
        ("quantity", 0),
    ]
    assert [one.WhichOneof("amount_left") for one in shown[:2]] == ["quantity_left_milli", "quantity_left"]
    assert (shown[0].quantity_left_milli, shown[1].quantity_left) == (345, 3)
    await points.assert_balanced()


async def test_the_receipts_total_is_checked_against_the_totals_of_its_lines(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    wrong = receipt(member.code, by_weight(345), at_total(1_000), total_minor=690 + 1_500)
    metadata = {"total_minor": "2190", "sum_minor": "1690"}
    assert await refusal(points.record(wrong)) == (
        "TOTAL_MISMATCH",
        grpc.StatusCode.INVALID_ARGUMENT,
        metadata,
    )


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_receipts_of_all_kinds_in_one_batch_keep_what_is_theirs(
    points: Points, platform: Platform
) -> None:
    member, redemption = await platform.member(), str(uuid4())
    receipts = [
        receipt(member.code, item(1_000)),
        receipt(member.code, by_weight(1)),
        receipt(member.code, item(2_000), at_total(999)),
        receipt("", by_weight(500), redemption_ids=[redemption]),
        receipt(member.code, item(3_000, 3), redemption_ids=[redemption, str(uuid4())]),
    ]
    results = await batch(points, receipts)
    ids = [result.recorded.purchase.id for result in results]
    assert [await kept(points, purchase_id) for purchase_id in ids] == [
        [(1, None, None, 0)],
        [(0, 1, 2, 0)],
        [(1, None, None, 0), (3, None, 999, 0)],
        [(0, 500, 1_000, 0)],
        [(3, None, None, 0)],
    ]
    told = [list(result.recorded.purchase.redemption_ids) for result in results]
    assert told == [list(one.redemption_ids) for one in receipts]
    assert await batch(points, receipts) == results
    await points.assert_balanced()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "items[0]"),
        ({"quantity_milli": 0}, "items[0].quantity_milli"),
        ({"quantity_milli": -1}, "items[0].quantity_milli"),
        ({"quantity_milli": 100_000_001}, "items[0].quantity_milli"),
        ({"quantity": 1, "total_minor": -1}, "items[0].total_minor"),
        ({"quantity": 1, "total_minor": 10**11 + 1}, "items[0].total_minor"),
    ],
)
async def test_lines_out_of_bounds_are_refused(points: Points, fields: dict[str, Any], named: str) -> None:
    line = purchase_pb2.PurchaseItem(sku="1", name="x", unit_price_minor=1, **fields)
    assert await fields_refused(points.record(receipt("", line))) == [named]


async def test_the_bounds_themselves_are_recorded_exactly(points: Points) -> None:
    most = await unclaimed(points, by_weight(100_000_000, price_minor=1_000_000))
    assert most.purchase.total.amount_minor == 10**11
    assert await reason(unclaimed(points, by_weight(100_000_000, price_minor=1_000_001))) == (
        "RECEIPT_TOO_LARGE"
    )
    least = await unclaimed(points, by_weight(1, price_minor=499), by_weight(1, price_minor=500))
    assert [one.item.total_minor for one in (await get(points, least.purchase.id)).lines] == [0, 1]


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_parts_of_a_line_add_up_to_its_total_and_its_points(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, by_weight(345, 1_000), at_total(2_000)))
    assert bought.balance_after == 3
    purchase_id = bought.purchase.id
    parts: list[Any] = [
        [RefundLine(line=1, quantity_milli=100)],
        [(2, 1)],
        [RefundLine(line=1, quantity_milli=200), (2, 1)],
    ]
    costs, points_back = [], []
    for number, lines in enumerate(parts):
        reply = await refund(points, purchase_id, f"F-{number}", lines)
        assert encoded(await refund(points, purchase_id, f"F-{number}", lines)) == encoded(reply)
        costs.append(reply.refund.amount.amount_minor)
        points_back.append(reply.refund.points)
    assert costs == [289, 666, (869 - 289) + (1_333 - 666)]
    last = await refund(points, purchase_id, "F-9")
    assert [(one.quantity, one.quantity_milli) for one in last.refund.lines] == [(0, 45), (1, 0)]
    assert sum(costs) + last.refund.amount.amount_minor == 3_000
    assert sum(points_back) + last.refund.points == 3
    assert last.HasField("balance_after")
    assert last.balance_after == 0
    details = await get_mine(points, member, purchase_id)
    assert (details.lines[0].quantity_left_milli, details.lines[1].quantity_left) == (0, 0)
    assert [one.amount.amount_minor for one in details.refunds] == [*costs, last.refund.amount.amount_minor]
    assert [one[3] for one in await kept(points, purchase_id)] == [345, 3]
    await points.assert_balanced()


async def test_a_line_comes_back_as_it_was_sold_and_not_more_of_it(
    points: Points, platform: Platform
) -> None:
    bought = await points.record(receipt((await platform.member()).code, by_weight(345), at_total(1_000)))
    purchase_id = bought.purchase.id
    for lines, field in (
        ([(1, 1)], "lines[0].quantity"),
        ([RefundLine(line=2, quantity_milli=1_000)], "lines[0].quantity_milli"),
        ([RefundLine(line=1)], "lines[0]"),
    ):
        assert await fields_refused(refund(points, purchase_id, "F-1", lines)) == [field]
    too_much = refund(points, purchase_id, "F-1", [RefundLine(line=1, quantity_milli=346)])
    metadata = {"line": "1", "quantity_left": "0.345"}
    assert await refusal(too_much) == (
        "REFUND_EXCEEDS_PURCHASE",
        grpc.StatusCode.FAILED_PRECONDITION,
        metadata,
    )
    assert split(await refund(points, purchase_id, "F-1"))[0] == bought.purchase.points


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_a_claim_credits_what_is_left_of_totals(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await unclaimed(points, by_weight(1_000, 7_000), at_total(3_000))
    await refund(points, bought.purchase.id, "F-1", [RefundLine(line=1, quantity_milli=500), (2, 1)])
    claimed = await claim_mine(points, member, bought.claim.claim_code)
    assert (claimed.purchase.points, claimed.balance_after) == (5, 5)
    assert split(await refund(points, bought.purchase.id, "F-2")) == (5, 5, 0, 0, 0)
    await points.assert_balanced()


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_redemptions_are_kept_as_told_and_read_everywhere(points: Points, platform: Platform) -> None:
    member, ids = await platform.member(), [str(uuid4()) for _ in range(20)]
    request = receipt(member.code, redemption_ids=ids)
    reply = await points.record(request)
    assert list(reply.purchase.redemption_ids) == ids
    assert await points.record(request) == reply
    number = request.receipt_number
    for seen in (
        (await get(points, reply.purchase.id)).purchase,
        (await find(points, receipt_number=number)).purchase,
        (await points.purchases(member)).purchases[0],
    ):
        assert seen == reply.purchase
    request.redemption_ids[:] = ids[:-1]
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"


@pytest.mark.parametrize(
    "ids", [["R-1"], [str(uuid4()) for _ in range(21)], ["0199aabb-0000-7000-8000-00000000abcd"] * 2]
)
async def test_redemptions_that_are_none_too_many_or_told_twice_are_refused(
    points: Points, ids: list[str]
) -> None:
    [named] = await fields_refused(points.record(receipt("", redemption_ids=ids)))
    assert named.partition("[")[0] == "redemption_ids"


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
async def test_purchases_of_before_are_read_with_the_rules_that_they_keep_in_words(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(5_000)))
    rule = (
        '{"id": "01990000-0000-7000-8000-000000000003", "name": "Old times", "kind": "MULTIPLIER",'
        ' "effect": {"percent": 300, "categories": ["bakery"]}, "priority": 0, "starts_at": null,'
        ' "ends_at": null}'
    )
    # A set that held for a moment, long ago, so that nothing else is judged by it.
    await change(
        points,
        "WITH newest AS (SELECT content FROM earn_rule_sets ORDER BY id DESC LIMIT 1), old AS ("
        " INSERT INTO earn_rule_sets (content) SELECT jsonb_set(content, '{rules}', %(rules)s::jsonb)"
        " FROM newest RETURNING id), now AS ("
        " INSERT INTO earn_rule_sets (content) SELECT content FROM newest, old RETURNING id)"
        " UPDATE purchases SET rule_set_id = old.id, line_rules = NULL,"
        " earn_rule = '1 per 1000 minor units; 300 %% by Old times' FROM old, now"
        " WHERE purchases.id = %(id)s",
        rules=f"[{rule}]",
        id=bought.purchase.id,
    )
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    page = await stub.ListMyPurchases(points_pb2.ListMyPurchasesRequest(), metadata=bearer(member.token))
    [listed] = page.purchases
    rate, held = listed.applied_rules
    assert (rate.base_rate.points, rate.base_rate.per_minor) == (1, 1_000)
    assert (held.name, held.multiplier_percent) == ("Old times", 300)
    assert held.earn_rule_id == "01990000-0000-7000-8000-000000000003"
    assert (await get_mine(points, member, bought.purchase.id)).purchase == listed
