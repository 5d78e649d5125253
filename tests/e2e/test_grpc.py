"""gRPC through the edge with the generated stubs, and with tools that know no stubs."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from scrip.identity.v1 import client_pb2, client_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc, purchase_pb2, purchase_pb2_grpc
from scrip.promos.v1 import code_pb2, code_pb2_grpc
from scrip.vouchers.v1 import order_pb2, order_pb2_grpc, shop_pb2, shop_pb2_grpc, wallet_pb2, wallet_pb2_grpc

from services.common.status import CODES
from stack.envoy import DESCRIPTORS
from stack.services import SERVICES
from tests.edge.refusals import over_grpc
from tests.platform import Member, Platform, assert_discreet, unique

BUF = Path(sys.executable).with_name("buf")
PUBLIC = {
    "identity": "scrip.identity.v1.MemberService",
    "points": "scrip.points.v1.PointsService",
    "vouchers": "scrip.vouchers.v1.OrderService",
    "promos": "scrip.promos.v1.CodeService",
}


def _as(token: str, key: str = "") -> tuple[tuple[str, str], ...]:
    given = (("authorization", f"Bearer {token}"),)
    return (*given, ("idempotency-key", key)) if key else given


async def test_receipts_are_streamed_and_answered_one_by_one(
    live: Platform, channel: grpc.aio.Channel
) -> None:
    member, till = await live.member(), await live.till()
    call = purchase_pb2_grpc.PurchaseServiceStub(channel).StreamPurchases(metadata=_as(till))
    for position in range(1, 4):
        receipt = purchase_pb2.RecordPurchaseRequest(
            member_code=member.code if position != 2 else "NOBODY",
            receipt_number=unique(),
            currency_code="USD",
            items=[purchase_pb2.PurchaseItem(sku="1", name="Chair", unit_price_minor=10_000, quantity=1)],
        )
        receipt.sold_at.GetCurrentTime()
        await call.write(purchase_pb2.StreamPurchasesRequest(purchases=[receipt]))
        answer = await call.read()
        assert isinstance(answer, purchase_pb2.StreamPurchasesResponse)
        assert answer.first_position == position
        (result,) = answer.results
        assert result.WhichOneof("outcome") == ("refused" if position == 2 else "recorded")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await live.balance(member) == 20


async def test_a_member_shops_over_grpc(live: Platform, channel: grpc.aio.Channel) -> None:
    clients = client_pb2_grpc.ClientServiceStub(channel)
    till = await clients.CreateClient(
        client_pb2.CreateClientRequest(display_name=f"Till {unique()}"), metadata=_as(live.admin)
    )
    assert till.client_secret
    till_token, member, voucher = await live.till(), await live.member(), await live.voucher(3)
    me = await member_pb2_grpc.MemberServiceStub(channel).GetMe(
        member_pb2.GetMeRequest(), metadata=_as(member.token)
    )
    assert me.member.id == member.id

    request = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=unique(),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Table", unit_price_minor=500_000, quantity=1)],
    )
    request.sold_at.GetCurrentTime()
    purchases = purchase_pb2_grpc.PurchaseServiceStub(channel)
    recorded = [await purchases.RecordPurchase(request, metadata=_as(till_token)) for _ in range(2)]
    assert recorded[0] == recorded[1]
    assert recorded[0].purchase.points == 500

    offers = await shop_pb2_grpc.ShopServiceStub(channel).ListOffers(
        shop_pb2.ListOffersRequest(), metadata=_as(member.token)
    )
    assert voucher in [offer.voucher_id for offer in offers.offers]
    orders, key = order_pb2_grpc.OrderServiceStub(channel), unique()
    placed = [
        await orders.PlaceOrder(
            order_pb2.PlaceOrderRequest(voucher_id=voucher), metadata=_as(member.token, key)
        )
        for _ in range(2)
    ]
    assert placed[0] == placed[1]
    assert placed[0].order.state == order_pb2.ORDER_STATE_COMPLETED

    wallet = await wallet_pb2_grpc.WalletServiceStub(channel).ListMyVouchers(
        wallet_pb2.ListMyVouchersRequest(), metadata=_as(member.token)
    )
    redeemed = await code_pb2_grpc.CodeServiceStub(channel).RedeemCode(
        code_pb2.RedeemCodeRequest(code=wallet.vouchers[0].code, sale_reference=unique()),
        metadata=_as(till_token),
    )
    assert redeemed.redemption.benefit.amount_off.amount_minor == 500
    balance = await points_pb2_grpc.PointsServiceStub(channel).GetMyBalance(
        points_pb2.GetMyBalanceRequest(), metadata=_as(member.token)
    )
    assert balance.balance == 0


async def test_the_quantity_left_streams_over_grpc(
    live: Platform, channel: grpc.aio.Channel, ada: Member, till: str
) -> None:
    buyer, voucher = await live.member(), await live.voucher(1)
    await live.give(till, buyer, 500)
    stub = shop_pb2_grpc.ShopServiceStub(channel)
    call = stub.WatchQuantity(
        shop_pb2.WatchQuantityRequest(voucher_id=voucher), metadata=_as(ada.token), timeout=10
    )
    told = [(await anext(aiter(call))).quantity_left]
    await live.bought(buyer, voucher)
    told.append((await anext(aiter(call))).quantity_left)
    call.cancel()
    assert told == [1, 0]


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
async def test_a_till_streams_its_receipts_and_each_is_answered_in_order(
    channel: grpc.aio.Channel, member: Member, till: str
) -> None:
    stub = purchase_pb2_grpc.PurchaseServiceStub(channel)
    receipts = []
    for n in range(300):
        receipt = purchase_pb2.RecordPurchaseRequest(
            member_code=member.code,
            receipt_number=f"R-{unique()}",
            currency_code="EUR" if n == 7 else "USD",
            items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=1_000, quantity=1)],
        )
        receipt.sold_at.GetCurrentTime()
        receipts.append(receipt)
    for at_once in (1, 70):  # the second time all of it is a repetition
        messages = [receipts[n : n + at_once] for n in range(0, 300, at_once)]
        sent = iter([purchase_pb2.StreamPurchasesRequest(purchases=some) for some in messages])
        told: list[Any] = []
        async for answer in stub.StreamPurchases(sent, metadata=_as(till), timeout=20):
            assert answer.first_position == len(told) + 1
            told += answer.results
        assert "receipts must be in USD" in told.pop(7).refused.message
        assert [result.recorded.balance_after for result in told] == list(range(1, 300))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.StreamPurchases(iter([]), metadata=_as(member.token), timeout=20):
            pass
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def _refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str], list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = over_grpc(caught.value)
    assert_discreet(str(status))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert info.domain == "scrip"
    assert status.code == CODES[info.reason] == caught.value.code().value[0]
    fields = [v.field for d in status.details if d.Unpack(bad) for v in bad.field_violations]
    return caught.value.code(), info.reason, dict(info.metadata), fields


async def test_refusals_have_the_same_reasons_over_grpc(
    live: Platform, channel: grpc.aio.Channel, ada: Member, till: str
) -> None:
    code, orders = grpc.StatusCode, order_pb2_grpc.OrderServiceStub(channel)
    unknown = "01990000-0000-7000-8000-000000000000"
    wanted = order_pb2.PlaceOrderRequest(voucher_id=unknown)

    refused = await _refused(
        orders.PlaceOrder(order_pb2.PlaceOrderRequest(voucher_id="1"), metadata=_as(ada.token, "k"))
    )
    assert refused == (code.INVALID_ARGUMENT, "VALIDATION_FAILED", {}, ["voucher_id"])
    refused = await _refused(orders.PlaceOrder(wanted, metadata=_as(ada.token)))
    assert refused[:2] == (code.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REQUIRED")
    refused = await _refused(orders.PlaceOrder(wanted, metadata=_as(till, "k")))
    assert refused[:3] == (code.PERMISSION_DENIED, "ROLE_NOT_ALLOWED", {"role": "till"})
    refused = await _refused(orders.PlaceOrder(wanted, metadata=_as(ada.token, unique())))
    assert refused[:3] == (code.NOT_FOUND, "VOUCHER_NOT_FOUND", {"voucher_id": unknown})

    poor, voucher, key = await live.member(), await live.voucher(1), unique()
    wanted = order_pb2.PlaceOrderRequest(voucher_id=voucher)
    told = [await _refused(orders.PlaceOrder(wanted, metadata=_as(poor.token, key))) for _ in range(2)]
    assert told[0] == told[1]
    assert told[0][:2] == (code.FAILED_PRECONDITION, "INSUFFICIENT_POINTS")
    assert told[0][2].items() >= {"required": "500", "available": "0"}.items()
    other = order_pb2.PlaceOrderRequest(voucher_id=await live.voucher(1))
    refused = await _refused(orders.PlaceOrder(other, metadata=_as(poor.token, key)))
    assert refused[:2] == (code.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")


async def _buf(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        BUF,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"NO_COLOR": "1"},
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def _curl(base: str, method: str, token: str, *options: str) -> tuple[str, ...]:
    plain = ("curl", "--protocol", "grpc", "--http2-prior-knowledge")
    return (*plain, *options, "-H", f"authorization: Bearer {token}", f"{base}/{method}")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_tells_what_it_serves_by_reflection(
    live: Platform, ada: Member, service: str
) -> None:
    address = live.stack.endpoints.grpc[service].removeprefix("ipv4:")
    status, listed, errors = await _buf(
        "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-services", f"http://{address}"
    )
    assert status == 0, errors
    assert {PUBLIC[service], "grpc.health.v1.Health"} <= set(listed.split())


@pytest.mark.covers("E2")
async def test_a_call_needs_nothing_but_reflection(live: Platform, ada: Member) -> None:
    base = "http://" + live.stack.endpoints.grpc["identity"].removeprefix("ipv4:")
    status, output, errors = await _buf(*_curl(base, "scrip.identity.v1.MemberService/GetMe", ada.token))
    assert status == 0, errors
    assert json.loads(output)["member"]["id"] == ada.id


async def test_a_call_through_the_edge_needs_the_protos(live: Platform, ada: Member) -> None:
    base, schema = live.stack.endpoints.edge_url, f"{DESCRIPTORS}#format=binpb"
    method = "scrip.points.v1.PointsService/GetMyBalance"
    status, output, errors = await _buf(*_curl(base, method, ada.token, "--schema", schema))
    assert status == 0, errors
    assert json.loads(output) == {"balance": await live.balance(ada)}
    status, _, errors = await _buf(*_curl(base, method, "garbage", "--schema", schema))
    assert status != 0
    told = json.loads(errors)
    assert told["code"] == "unauthenticated"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(told["details"][0]["value"] + "=="))
    assert info.reason == "TOKEN_NOT_VALID"
