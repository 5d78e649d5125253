"""gRPC and gRPC-Web through the edge, and what is not to be reached by either."""

from __future__ import annotations

import struct
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from scrip.vouchers.v1 import shop_pb2, shop_pb2_grpc

from stack.envoy import DESCRIPTORS
from tests.edge.edge import Edge
from tests.edge.refusals import reason_over_grpc

GRPC_WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
OF_EVERY_SERVER = (
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)


def _internal_methods() -> list[str]:
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return [
        f"/{file.package}.{service.name}/{method.name}"
        for file in described.file
        if file.package.startswith("scrip.") and ".internal." in file.package
        for service in file.service
        for method in service.method
    ]


NOT_SERVED = (*_internal_methods(), *OF_EVERY_SERVER)


def _frame(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


async def _call(channel: grpc.aio.Channel, path: str) -> None:
    method: Any = channel.unary_unary(path)
    await method(b"", timeout=5)


def test_there_are_internal_methods() -> None:
    assert "/scrip.points.internal.v1.PointsInternalService/Debit" in NOT_SERVED


async def test_public_methods_can_be_called(edge: Edge, channel: grpc.aio.Channel) -> None:
    stub = member_pb2_grpc.MemberServiceStub(channel)
    call = stub.GetMe(member_pb2.GetMeRequest(), metadata=(("idempotency-key", "key-1"),))
    assert (await call).member.full_name == "Ada"
    assert edge.main.last.metadata["idempotency-key"] == "key-1"
    assert edge.main.last.metadata["x-envoy-external-address"] == "127.0.0.1"
    assert edge.main.last.metadata["x-request-id"] == dict(await call.initial_metadata())["x-request-id"]


async def test_streams_arrive_message_by_message(channel: grpc.aio.Channel) -> None:
    stub = shop_pb2_grpc.ShopServiceStub(channel)
    call = stub.WatchQuantity(shop_pb2.WatchQuantityRequest(voucher_id="0"))
    left = [reply.quantity_left async for reply in call]
    assert left == [3, 2, 0]


async def test_receipts_are_streamed_both_ways(channel: grpc.aio.Channel) -> None:
    call = purchase_pb2_grpc.PurchaseServiceStub(channel).StreamPurchases()
    for position in range(1, 4):
        receipt = purchase_pb2.RecordPurchaseRequest(receipt_number=f"R-{position}")
        await call.write(purchase_pb2.StreamPurchasesRequest(purchases=[receipt]))
        answer = await call.read()
        assert isinstance(answer, purchase_pb2.StreamPurchasesResponse)
        assert answer.first_position == position
        (result,) = answer.results
        assert result.recorded.purchase.receipt_number == f"R-{position}"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_refusals_of_services_arrive_with_their_details(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await auth_pb2_grpc.AuthServiceStub(channel).RegisterMember(auth_pb2.RegisterMemberRequest())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_over_grpc(caught.value) == "VALIDATION_FAILED"


async def test_large_messages_are_left_to_the_service(channel: grpc.aio.Channel) -> None:
    request = auth_pb2.SendOtpRequest(phone="1" * 2_000_000)
    assert len((await auth_pb2_grpc.AuthServiceStub(channel).SendOtp(request)).otp_id) > 2_000_000


@pytest.mark.covers("E1")
async def test_metadata_over_the_limit_is_refused_with_a_reason(
    edge: Edge, channel: grpc.aio.Channel
) -> None:
    before = len(edge.main.calls)
    for _ in range(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await member_pb2_grpc.MemberServiceStub(channel).GetMe(
                member_pb2.GetMeRequest(), metadata=(("x-large", "x" * 20_000),)
            )
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_over_grpc(caught.value) == "HEADERS_TOO_LARGE"
    assert len(edge.main.calls) == before


@pytest.mark.covers("E1")
@pytest.mark.parametrize("path", NOT_SERVED)
async def test_other_packages_are_refused_over_grpc(edge: Edge, channel: grpc.aio.Channel, path: str) -> None:
    before = len(edge.main.calls) + len(edge.promos.calls)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _call(channel, path)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason_over_grpc(caught.value) == "ROUTE_NOT_FOUND"
    assert len(edge.main.calls) + len(edge.promos.calls) == before


@pytest.mark.parametrize("path", NOT_SERVED)
@pytest.mark.parametrize("content_type", ["application/json", "application/grpc-web+proto", "text/plain"])
async def test_other_packages_are_refused_over_http(edge: Edge, path: str, content_type: str) -> None:
    before = len(edge.main.calls) + len(edge.promos.calls)
    answer = await edge.http.post(path, content=_frame(b""), headers={"content-type": content_type})
    assert answer.status_code == 404
    assert (await edge.http.get(path)).status_code == 404
    assert len(edge.main.calls) + len(edge.promos.calls) == before


async def test_public_methods_have_no_second_url(edge: Edge) -> None:
    answer = await edge.http.post("/scrip.identity.v1.MemberService/GetMe", json={})
    assert answer.status_code == 404
    assert answer.json()["details"][0]["reason"] == "ROUTE_NOT_FOUND"


@pytest.mark.covers("E1")
async def test_grpc_web_calls_are_answered(edge: Edge) -> None:
    answer = await edge.http.post(
        "/scrip.identity.v1.MemberService/GetMe", content=_frame(b""), headers=GRPC_WEB
    )
    expected = member_pb2.GetMeResponse(member=member_pb2.Member(full_name="Ada")).SerializeToString()
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    message, trailers = answer.content.split(b"\x80", maxsplit=1)
    assert message == _frame(expected)
    assert b"grpc-status:0\r\n" in trailers


async def test_grpc_web_callers_see_refusals(edge: Edge) -> None:
    answer = await edge.http.post(
        "/scrip.identity.v1.AuthService/RegisterMember", content=_frame(b""), headers=GRPC_WEB
    )
    assert answer.headers["grpc-status"] == "3"
    assert "grpc-status-details-bin" in answer.headers
