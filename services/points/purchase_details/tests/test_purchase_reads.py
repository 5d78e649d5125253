"""Reading one purchase: its lines and refunds, and who may see it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from scrip.points.v1 import purchase_pb2

from services.common.caller import CASHIER, MANAGER
from services.points.tests.own_service import own_service
from services.points.tests.returns import (
    RULES,
    change,
    claim_mine,
    fields_refused,
    find,
    get,
    get_mine,
    refund,
    unclaimed,
)
from services.points.tests.support import Points, item, receipt
from tests.inprocess import Platform, eventually, reason, refusal

NOT_FOUND: object = ("PURCHASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {})


async def client_of(points: Points, purchase_id: str) -> str:
    """Returns the client that recorded a purchase."""
    rows = await points.rows("SELECT client_id FROM purchases WHERE id = %(id)s::uuid", id=purchase_id)
    return str(rows[0][0])


@pytest.mark.covers("P1 PurchaseService.GetPurchase")
async def test_a_purchase_shows_its_lines_and_refunds(points: Points, platform: Platform) -> None:
    member = await platform.member()
    items = [item(1_000, 5), item(700, 2, alcohol=True)]
    request = receipt(member.code, *items, till_number="7")
    bought = await points.record(request)
    first = await refund(points, bought.purchase.id, "Z-1", [(1, 2)], reason="stale")
    second = await refund(points, bought.purchase.id, "A-2", [(2, 1), (1, 1)])
    details = await get(points, bought.purchase.id)
    assert details.purchase == bought.purchase
    assert details.member_id == str(member.id)
    assert details.client_id == await client_of(points, bought.purchase.id)
    assert not details.HasField("claim_until")
    for each, total in zip(items, (5_000, 1_400), strict=True):
        each.total_minor = total  # which the receipt did not tell
    assert list(details.lines) == [
        purchase_pb2.PurchaseLine(line=1, item=items[0], quantity_left=2, earn_percent=100),
        purchase_pb2.PurchaseLine(line=2, item=items[1], quantity_left=1, earn_percent=0),
    ]
    assert list(details.refunds) == [first.refund, second.refund]
    assert await find(points, receipt_number=request.receipt_number, till_number="7") == details
    assert await get_mine(points, member, bought.purchase.id) == details


@pytest.mark.covers("P1 PurchaseService.FindPurchase", "P1 PurchaseService.GetPurchase")
async def test_tills_see_their_own_and_staff_see_all(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = receipt(member.code)
    bought = await points.record(request)
    purchase_id, number = bought.purchase.id, request.receipt_number
    client_id = await client_of(points, purchase_id)
    other = await platform.till()
    assert await refusal(get(points, purchase_id, token=other)) == NOT_FOUND
    assert await refusal(find(points, receipt_number=number, token=other)) == NOT_FOUND
    foreign = find(points, receipt_number=number, client_id=client_id, token=other)
    assert await refusal(foreign) == NOT_FOUND
    own = await find(points, receipt_number=number, client_id=client_id)
    for role in ("admin", MANAGER, CASHIER):
        token = await platform.token(role)
        assert await get(points, purchase_id, token=token) == own
        assert await find(points, receipt_number=number, client_id=client_id, token=token) == own
        assert await fields_refused(find(points, receipt_number=number, token=token)) == ["client_id"]
        unknown = find(points, receipt_number=number, client_id=str(uuid4()), token=token)
        assert await refusal(unknown) == NOT_FOUND
    for call in (
        get(points, purchase_id, token=member.token),
        get(points, purchase_id, token=points.vouchers),
    ):
        assert await reason(call) in {"ROLE_NOT_ALLOWED", "TOKEN_NOT_VALID"}


@pytest.mark.covers("P4 PointsService.GetMyPurchase")
async def test_members_see_their_own_alone(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    bought = await points.earn(member, 3)
    assert (await get_mine(points, member, bought.purchase.id)).purchase == bought.purchase
    assert await refusal(get_mine(points, other, bought.purchase.id)) == NOT_FOUND
    assert await refusal(get_mine(points, other, str(uuid4()))) == NOT_FOUND
    free = await unclaimed(points)
    assert await refusal(get_mine(points, member, free.purchase.id)) == NOT_FOUND
    await claim_mine(points, member, free.claim.claim_code)
    assert (await get_mine(points, member, free.purchase.id)).purchase == free.purchase


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"receipt_number": ""}, "receipt_number"),
        ({"receipt_number": "1" * 65}, "receipt_number"),
        ({"receipt_number": "\0"}, "receipt_number"),
        ({"receipt_number": "1", "till_number": "\0"}, "till_number"),
        ({"receipt_number": "1", "till_number": "1" * 33}, "till_number"),
        ({"receipt_number": "1", "client_id": "nonsense"}, "client_id"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    points: Points, fields: dict[str, Any], named: str
) -> None:
    assert await fields_refused(find(points, **fields)) == [named]


async def test_what_is_not_there_is_not_found(points: Points, platform: Platform) -> None:
    assert await refusal(find(points, receipt_number=str(uuid4()))) == NOT_FOUND
    assert await refusal(get(points, str(uuid4()))) == NOT_FOUND
    assert await fields_refused(get(points, "nonsense")) == ["purchase_id"]
    bought = await points.record(receipt((await platform.member()).code, till_number="7"))
    assert await refusal(find(points, receipt_number=bought.purchase.receipt_number)) == NOT_FOUND
    shown = await get(points, str(UUID(bought.purchase.id)).upper())
    assert shown.purchase == bought.purchase


@pytest.mark.covers("P4 PointsService.GetMyPurchase")
async def test_lines_tell_what_they_counted_for_under_the_rules_of_then(platform: Platform) -> None:
    rules = (
        '[{"id": "01990000-0000-7000-8000-000000000001", "name": "No bread", "kind": "EXCLUSION",'
        ' "effect": {"categories": ["Bread"]}, "priority": 0, "starts_at": null, "ends_at": null},'
        ' {"id": "01990000-0000-7000-8000-000000000002", "name": "Dairy", "kind": "MULTIPLIER",'
        ' "effect": {"percent": 300, "categories": ["dairy"]}, "priority": 0, "starts_at": null,'
        ' "ends_at": null}]'
    )
    lines = [("bread", 0), ("DAIRY", 300), ("other", 100)]
    items = [item() for _ in lines]
    for one, (category, _) in zip(items, lines, strict=True):
        one.category = category
    async with own_service(platform) as own:
        await change(own, RULES, rules=rules)
        member = await platform.member()

        async def judged() -> purchase_pb2.RecordPurchaseResponse:
            reply = await own.record(receipt(member.code, *items))
            assert reply.purchase.points == 4
            return reply

        bought = await eventually(judged)
        await change(own, RULES, rules="[]")
        shown = await get_mine(own, member, bought.purchase.id)
        assert [line.earn_percent for line in shown.lines] == [percent for _, percent in lines]
        assert [line.item.category for line in shown.lines] == [category for category, _ in lines]
