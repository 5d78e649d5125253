"""Whether a member has bought anything, which promos asks before a code for first purchases is used."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc
import pytest
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.points.purchase_details.tests.test_purchase_reads import client_of
from services.points.tests.returns import claim, refund, unclaimed
from services.points.tests.support import Points, receipt
from tests.inprocess import Member, Platform, bearer, reason


async def has_purchases(points: Points, member: Member, *, token: str = "", **besides: Any) -> bool:
    """Returns whether a member has bought anything, asked as promos."""
    stub = points_pb2_grpc.PointsInternalServiceStub(points.channel)
    request = points_pb2.HasPurchasesRequest(member_id=str(member.id), **besides)
    metadata = bearer(token or await points.platform.service_token("promos"))
    return (await stub.HasPurchases(request, metadata=metadata)).has_purchases


async def void(points: Points, receipt_number: str) -> None:
    """Voids a receipt, as the till."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    request = purchase_pb2.VoidPurchaseRequest(receipt_number=receipt_number, reason="wrong customer")
    await stub.VoidPurchase(request, metadata=bearer(points.till))


@pytest.mark.covers("C5 PointsInternalService.HasPurchases")
async def test_a_member_has_purchases_from_the_first_on(points: Points, platform: Platform) -> None:
    member = await platform.member()
    assert not await has_purchases(points, member)
    await points.record(receipt(member.code))
    assert await has_purchases(points, member)
    assert not await has_purchases(points, await platform.member())


@pytest.mark.covers("C5 PointsInternalService.HasPurchases")
async def test_the_present_sale_does_not_count_and_every_other_does(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = receipt(member.code, till_number="7")
    bought = await points.record(request)
    sale = {"client_id": await client_of(points, bought.purchase.id), "till_number": "7"}
    assert not await has_purchases(points, member, receipt_number=request.receipt_number, **sale)
    assert await has_purchases(points, member, receipt_number="another", **sale)
    elsewhere = sale | {"till_number": "8"}
    assert await has_purchases(points, member, receipt_number=request.receipt_number, **elsewhere)
    other_client = sale | {"client_id": str(uuid4())}
    assert await has_purchases(points, member, receipt_number=request.receipt_number, **other_client)


@pytest.mark.covers("C5 PointsInternalService.HasPurchases")
async def test_voided_purchases_do_not_count_and_refunded_ones_do(points: Points, platform: Platform) -> None:
    member = await platform.member()
    first = await points.record(receipt(member.code))
    await void(points, first.purchase.receipt_number)
    assert not await has_purchases(points, member)
    second = await points.record(receipt(member.code))
    await refund(points, second.purchase.id)
    assert await has_purchases(points, member)


@pytest.mark.covers("C5 PointsInternalService.HasPurchases")
async def test_a_receipt_counts_for_the_member_who_claims_it(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = receipt("")
    await points.record(request)
    await unclaimed(points)
    assert not await has_purchases(points, member)
    await claim(points, request.receipt_number, member.code)
    assert await has_purchases(points, member)


async def test_promos_alone_may_ask(points: Points, platform: Platform) -> None:
    member = await platform.member()
    for token in (points.vouchers, points.till, member.token):
        with pytest.raises(grpc.aio.AioRpcError):
            await has_purchases(points, member, token=token)
    stub = points_pb2_grpc.PointsInternalServiceStub(points.channel)
    promos = await platform.service_token("promos")
    for wrong in ({"member_id": "nobody"}, {}, {"member_id": str(member.id), "client_id": "x"}):
        request = points_pb2.HasPurchasesRequest(**wrong)
        assert await reason(stub.HasPurchases(request, metadata=bearer(promos))) == "VALIDATION_FAILED"
