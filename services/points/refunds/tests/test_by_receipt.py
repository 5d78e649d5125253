"""Refunds by the receipt: at another till, many after an outage, with a time of their own; void receipts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.rpc import error_details_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.caller import CASHIER, MANAGER, TILL
from services.points.tests.returns import (
    claim_mine,
    encoded,
    fields_refused,
    get,
    get_mine,
    refund,
    unclaimed,
)
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import Platform, bearer, reason


def ago(time: timedelta) -> datetime:
    """Returns a moment of the past."""
    return datetime.now(UTC).replace(microsecond=0) - time


def stub(points: Points) -> Any:
    """Returns PurchaseService's stub."""
    return purchase_pb2_grpc.PurchaseServiceStub(points.channel)


async def seller(points: Points, purchase_id: str) -> str:
    """Returns the client that recorded a purchase."""
    return (await get(points, purchase_id)).client_id


def of(bought: purchase_pb2.RecordPurchaseResponse, number: str = "F-1", **fields: Any) -> Any:
    """Returns a refund of a receipt."""
    receipt_number = bought.purchase.receipt_number
    return purchase_pb2.RefundReceiptRequest(receipt_number=receipt_number, refund_number=number, **fields)


async def by_receipt(points: Points, request: Any, token: str = "") -> purchase_pb2.RefundReceiptResponse:
    """Refunds a receipt."""
    made: purchase_pb2.RefundReceiptResponse = await stub(points).RefundReceipt(
        request, metadata=bearer(token or points.till)
    )
    return made


async def void(points: Points, token: str = "", **fields: Any) -> purchase_pb2.VoidPurchaseResponse:
    """Voids a receipt."""
    request = purchase_pb2.VoidPurchaseRequest(**fields)
    made: purchase_pb2.VoidPurchaseResponse = await stub(points).VoidPurchase(
        request, metadata=bearer(token or points.till)
    )
    return made


@pytest.mark.covers("P9 PurchaseService.RefundReceipt")
async def test_another_till_refunds_what_this_one_sold(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(10_000, 5), till_number="7"))
    client_id, elsewhere = await seller(points, bought.purchase.id), await platform.token(TILL, uuid4())
    lines = [purchase_pb2.RefundLine(line=1, quantity=2)]
    request = of(bought, till_number="7", client_id=client_id, lines=lines, reason="too small")
    made = await by_receipt(points, request, elsewhere)
    assert (made.refund.points, made.balance_after, made.purchase_id) == (20, 30, bought.purchase.id)
    for token in (elsewhere, points.till, await platform.token(CASHIER)):
        assert encoded(await by_receipt(points, request, token)) == encoded(made)
    assert [one.refund_number for one in (await get_mine(points, member, bought.purchase.id)).refunds] == [
        "F-1"
    ]
    assert await points.balance(member) == 30
    # By the purchase it is the same refund.
    again = await refund(points, bought.purchase.id, "F-1", [(1, 2)], reason="too small")
    assert again.refund == made.refund
    await points.assert_balanced()


@pytest.mark.covers("P9 PurchaseService.RefundReceipt")
async def test_a_receipt_is_found_under_its_own_client_and_till_alone(
    points: Points, platform: Platform
) -> None:
    bought = await points.record(receipt((await platform.member()).code, till_number="7"))
    elsewhere = await platform.token(TILL, uuid4())
    for fields in ({}, {"till_number": "8"}, {"till_number": "7", "client_id": str(uuid4())}):
        assert await reason(by_receipt(points, of(bought, **fields))) == "PURCHASE_NOT_FOUND"
    assert await reason(by_receipt(points, of(bought, till_number="7"), elsewhere)) == "PURCHASE_NOT_FOUND"
    manager = await platform.token(MANAGER)
    assert await reason(by_receipt(points, of(bought, till_number="7"), manager)) == "VALIDATION_FAILED"


@pytest.mark.covers("P5 PurchaseService.RefundPurchase", "P9 PurchaseService.RefundReceipt")
async def test_a_refund_keeps_when_the_goods_came_back(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 3), sold_at=sold(ago(timedelta(days=5)))))
    told = sold(ago(timedelta(days=2)))
    made = await by_receipt(
        points, of(bought, lines=[purchase_pb2.RefundLine(line=1, quantity=1)], refunded_at=told)
    )
    assert made.refund.refunded_at == told
    assert made.refund.recorded_at.ToDatetime(tzinfo=UTC) > ago(timedelta(hours=1))
    plain = (await refund(points, bought.purchase.id, "F-2")).refund
    assert plain.refunded_at == plain.recorded_at
    kept = (await get_mine(points, member, bought.purchase.id)).refunds
    assert [one.refund_number for one in kept] == ["F-1", "F-2"]
    assert list(kept) == [made.refund, plain]


@pytest.mark.covers("P9 PurchaseService.RefundReceipt")
@pytest.mark.parametrize("shift", [timedelta(minutes=-1), timedelta(days=4, minutes=10)])
async def test_goods_do_not_come_back_before_the_sale_nor_in_the_future(
    points: Points, platform: Platform, shift: timedelta
) -> None:
    bought_at = ago(timedelta(days=4))
    bought = await points.record(receipt((await platform.member()).code, sold_at=sold(bought_at)))
    request = of(bought, refunded_at=sold(bought_at + shift))
    assert await reason(by_receipt(points, request)) == "REFUND_TIME_OUT_OF_RANGE"
    assert list((await get(points, bought.purchase.id)).refunds) == []


@pytest.mark.covers("P9 PurchaseService.BatchRefundReceipts")
async def test_refunds_of_an_outage_are_recorded_each_by_itself(points: Points, platform: Platform) -> None:
    member = await platform.member()
    first = await points.record(receipt(member.code, item(1_000, 4)))
    second = await points.record(receipt(member.code, item(1_000)))
    one = [purchase_pb2.RefundLine(line=1, quantity=1)]
    refunds = [
        of(first, "F-1", lines=one),
        purchase_pb2.RefundReceiptRequest(receipt_number="unknown", refund_number="F-1"),
        of(first, "F-2"),
        of(second, ""),
        of(second, "F-1", client_id="not-an-id"),
        of(first, "F-3"),
        of(second, "F-1"),
    ]
    request = purchase_pb2.BatchRefundReceiptsRequest(refunds=refunds)
    made = await stub(points).BatchRefundReceipts(request, metadata=bearer(points.till))
    outcomes = [
        (result.recorded.refund.points if result.HasField("recorded") else why(result))
        for result in made.results
    ]
    assert outcomes == [
        1,
        "PURCHASE_NOT_FOUND",
        3,
        "VALIDATION_FAILED",
        "VALIDATION_FAILED",
        "NOTHING_TO_REFUND",
        1,
    ]
    assert await points.balance(member) == 0
    again = await stub(points).BatchRefundReceipts(request, metadata=bearer(points.till))
    assert encoded(again) == encoded(made)
    assert await points.balance(member) == 0
    await points.assert_balanced()


def why(result: purchase_pb2.RefundResult) -> str:
    """Returns the reason of a refusal in a batch."""
    found = error_details_pb2.ErrorInfo()
    assert result.refused.details[0].Unpack(found)
    return found.reason


@pytest.mark.covers("P9 PurchaseService.VoidPurchase")
async def test_a_void_receipt_never_took_place(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 5), item(2_000, alcohol=True)))
    await refund(points, bought.purchase.id, "F-1", [(1, 2)])
    made = await void(points, receipt_number=bought.purchase.receipt_number, reason="wrong customer")
    assert (made.refund.points, made.balance_after, made.purchase_id) == (3, 0, bought.purchase.id)
    assert (made.refund.refund_number, made.refund.voids_purchase) == ("VOID", True)
    assert made.refund.amount.amount_minor == 5_000
    again = await void(points, receipt_number=bought.purchase.receipt_number, reason="wrong customer")
    assert encoded(again) == encoded(made)
    other = void(points, receipt_number=bought.purchase.receipt_number, reason="another")
    assert await reason(other) == "REFUND_CONFLICT"
    assert await reason(refund(points, bought.purchase.id, "F-2")) == "NOTHING_TO_REFUND"
    kept = await get_mine(points, member, bought.purchase.id)
    assert [(one.refund_number, one.voids_purchase) for one in kept.refunds] == [
        ("F-1", False),
        ("VOID", True),
    ]
    assert await points.balance(member) == 0
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase", "P9 PurchaseService.VoidPurchase")
@pytest.mark.parametrize("fields", [{"refund_number": "VOID"}, {"reason": "x\u202ey"}, {"reason": "x\ny"}])
async def test_a_refund_has_no_number_of_a_void_and_no_hidden_characters(
    points: Points, platform: Platform, fields: dict[str, str]
) -> None:
    bought = await points.record(receipt((await platform.member()).code))
    request = of(bought, fields.get("refund_number", "F-1"), reason=fields.get("reason", ""))
    assert await fields_refused(by_receipt(points, request)) == [*fields]
    assert list((await get(points, bought.purchase.id)).refunds) == []
    if "reason" in fields:
        number = bought.purchase.receipt_number
        assert await fields_refused(void(points, receipt_number=number, reason=fields["reason"])) == [
            "reason"
        ]


@pytest.mark.covers("P9 PurchaseService.VoidPurchase")
async def test_a_till_voids_its_own_receipts_and_staff_any(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code))
    number, client_id = bought.purchase.receipt_number, await seller(points, bought.purchase.id)
    elsewhere = await platform.token(TILL, uuid4())
    named = {"receipt_number": number, "client_id": client_id}
    assert await reason(void(points, elsewhere, **named)) == "PURCHASE_NOT_FOUND"
    assert await reason(void(points, elsewhere, receipt_number=number)) == "PURCHASE_NOT_FOUND"
    manager = await platform.token(MANAGER)
    assert await reason(void(points, manager, receipt_number=number)) == "VALIDATION_FAILED"
    assert (await void(points, manager, **named)).refund.points == 1


@pytest.mark.covers("P9 PurchaseService.VoidPurchase")
async def test_a_void_receipt_without_a_member_earns_nothing_when_it_is_claimed(
    points: Points, platform: Platform
) -> None:
    bought = await unclaimed(points, item(5_000))
    made = await void(points, receipt_number=bought.purchase.receipt_number)
    assert not made.HasField("balance_after")
    member = await platform.member()
    assert (await claim_mine(points, member, bought.claim.claim_code)).purchase.points == 0
    assert await points.balance(member) == 0


@pytest.mark.covers("P9 PurchaseService.VoidPurchase")
async def test_voids_and_refunds_at_once_take_back_what_was_earned_once(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 6)))
    number = bought.purchase.receipt_number
    calls: list[Any] = [void(points, receipt_number=number) for _ in range(6)]
    calls += [refund(points, bought.purchase.id, f"F-{n}", [(1, 1)]) for n in range(6)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    taken = {
        one.refund.refund_number: one.refund.points for one in outcomes if not isinstance(one, BaseException)
    }
    assert sum(taken.values()) == 6
    assert await points.balance(member) == 0
    assert sum(one.points for one in (await get(points, bought.purchase.id)).refunds) == 6
    await points.assert_balanced()
