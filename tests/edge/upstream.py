"""Services that are made up: real gRPC servers with the real stubs, with replies that tests can predict."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api import httpbody_pb2
from google.protobuf import duration_pb2, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_interceptor import AsyncServerInterceptor
from grpc_status import rpc_status
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc, purchase_pb2, purchase_pb2_grpc
from scrip.promos.v1 import code_pb2 as promo_code_pb2
from scrip.promos.v1 import code_pb2_grpc as promo_code_pb2_grpc
from scrip.vouchers.v1 import shop_pb2, shop_pb2_grpc

KEY_ID = "edge-test"


def new_key() -> rsa.RSAPrivateKey:
    """Returns a key of its own."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY = new_key()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 16
Context = grpc.aio.ServicerContext[Any, Any]
MISSING = "missing"
"""The voucher that vouchers does not have."""
SLOW, UNAVAILABLE = "slow", "unavailable"
"""Codes for which promos replies late, or with an error."""
FAULTS = {"unknown": grpc.StatusCode.UNKNOWN, "internal": grpc.StatusCode.INTERNAL}
"""Codes for which promos replies as services do at faults of their own."""
REFUSED = "Bearer refused"
"""What identity takes for no good token."""
SECRET_TO_OAUTH_ERROR = {
    "wrong": ("invalid_client", grpc.StatusCode.UNAUTHENTICATED, 'no such till, or a "wrong" secret'),
    "odd": (
        "unsupported_grant_type",
        grpc.StatusCode.INVALID_ARGUMENT,
        "grant_type: must be this — \\ or that",
    ),
    "busy": ("temporarily_unavailable", grpc.StatusCode.RESOURCE_EXHAUSTED, "too many tries"),
}
"""Secrets for which identity refuses a token."""
SLOW_EXPORT = "/scrip.promos.v1.CodeService/ExportSlowly"
"""A stream that promos sends, and no proto has: with a pause of as many seconds as the request says."""


def token(
    subject: str = "member-1",
    role: str = "member",
    *,
    session: str = "session-1",
    issuer: str = "scrip",
    audience: str = "scrip",
    seconds: int = 600,
    key: rsa.RSAPrivateKey = KEY,
) -> str:
    """Returns a token as identity makes them, good for so many seconds from now."""
    now = int(time.time())
    claims = {"sub": subject, "role": role, "sid": session, "iss": issuer, "aud": audience}
    return jwt.encode(
        claims | {"iat": now, "exp": now + seconds}, key, "RS256", {"kid": KEY_ID, "typ": "at+jwt"}
    )


def client_token_request(secret: str) -> bytes:
    """Returns a request for a till's token, as gRPC callers send it."""
    method = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["IssueClientToken"]
    request: Any = message_factory.GetMessageClass(method.input_type)()
    form = getattr(request, "form", request)
    form.content_type = "application/x-www-form-urlencoded"
    form.data = f"grant_type=client_credentials&client_secret={secret}".encode()
    sent: bytes = request.SerializeToString()
    return sent


Trailers = tuple[tuple[str, str], ...]


async def _refuse(
    context: Context,
    code: grpc.StatusCode,
    message: str,
    *details: Message,
    trailers: tuple[tuple[str, str], ...] = (),
) -> NoReturn:
    """Ends the call with a google.rpc.Status."""
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    rpc = rpc_status.to_status(status)
    await context.abort(rpc.code, rpc.details, trailing_metadata=(*rpc.trailing_metadata, *trailers))


_OF_ENVOY_ITSELF = ("/grpc.health.", "/scrip.identity.v1.AuthService/GetJwks")


@dataclass(frozen=True)
class Call:
    """What reached a service."""

    method: str
    request: Message
    metadata: dict[str, str | bytes]


class _Recorder(AsyncServerInterceptor):
    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls

    async def intercept(
        self,
        method: Callable[..., Any],
        request_or_iterator: Any,
        context: Context,
        method_name: str,
    ) -> Any:
        if not method_name.startswith(_OF_ENVOY_ITSELF):
            metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
            self._calls.append(Call(method_name, request_or_iterator, metadata))
        reply = method(request_or_iterator, context)
        return reply if hasattr(reply, "__aiter__") else await reply


class _Auth(auth_pb2_grpc.AuthServiceServicer):
    async def SendOtp(self, request: auth_pb2.SendOtpRequest, context: Context) -> auth_pb2.SendOtpResponse:
        return auth_pb2.SendOtpResponse(otp_id=f"{request.phone} {auth_pb2.OtpPurpose.Name(request.purpose)}")

    async def RegisterMember(
        self, request: auth_pb2.RegisterMemberRequest, context: Context
    ) -> auth_pb2.RegisterMemberResponse:
        violation = error_details_pb2.BadRequest.FieldViolation(field="otp.code", description="6 digits")
        await _refuse(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            "the request is not valid",
            error_details_pb2.ErrorInfo(reason="VALIDATION_FAILED", domain="scrip"),
            error_details_pb2.BadRequest(field_violations=[violation]),
        )

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        await _refuse(
            context,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "too many tries",
            error_details_pb2.ErrorInfo(
                reason="TOO_MANY_REQUESTS", domain="scrip", metadata={"limit": "logins"}
            ),
            error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=60)),
            trailers=(("retry-after", "60"),),
        )

    async def IssueClientToken(
        self, request: auth_pb2.IssueClientTokenRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        form = request.form
        secret = form.data.decode().rpartition("client_secret=")[2]
        if secret in SECRET_TO_OAUTH_ERROR:
            error, code, message = SECRET_TO_OAUTH_ERROR[secret]
            info = error_details_pb2.ErrorInfo(reason="CREDENTIALS_NOT_VALID", domain="scrip")
            await _refuse(context, code, message, info, trailers=(("x-oauth-error", error),))
        seen = {"content_type": form.content_type, "body": form.data.decode()}
        return httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(seen).encode())

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> httpbody_pb2.HttpBody:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        keys = {"keys": [key | {"kid": KEY_ID, "alg": "RS256", "use": "sig"}]}
        await context.send_initial_metadata((("cache-control", "public, max-age=60"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(keys).encode())


class _Members(member_pb2_grpc.MemberServiceServicer):
    async def GetMe(self, request: member_pb2.GetMeRequest, context: Context) -> member_pb2.GetMeResponse:
        metadata = dict(context.invocation_metadata() or ())
        if metadata.get("authorization") == REFUSED:
            info = error_details_pb2.ErrorInfo(reason="TOKEN_NOT_VALID", domain="scrip")
            await _refuse(context, grpc.StatusCode.UNAUTHENTICATED, "not a good token", info)
        return member_pb2.GetMeResponse(member=member_pb2.Member(full_name="Ada"))

    async def GetMyQr(self, request: member_pb2.GetMyQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        return httpbody_pb2.HttpBody(content_type="image/png", data=PNG)


class _Purchases(purchase_pb2_grpc.PurchaseServiceServicer):
    async def RecordPurchase(
        self, request: purchase_pb2.RecordPurchaseRequest, context: Context
    ) -> purchase_pb2.RecordPurchaseResponse:
        return _recorded(request)

    async def BatchRecordPurchases(
        self, request: purchase_pb2.BatchRecordPurchasesRequest, context: Context
    ) -> purchase_pb2.BatchRecordPurchasesResponse:
        """Refuses receipts without items, as points does."""
        return purchase_pb2.BatchRecordPurchasesResponse(
            results=[
                purchase_pb2.PurchaseResult(recorded=_recorded(one))
                if one.items
                else purchase_pb2.PurchaseResult(refused=_without_items())
                for one in request.purchases
            ]
        )

    async def StreamPurchases(
        self, request_iterator: AsyncIterator[purchase_pb2.StreamPurchasesRequest], context: Context
    ) -> AsyncIterator[purchase_pb2.StreamPurchasesResponse]:
        """Replies to each message at once."""
        await context.send_initial_metadata(())
        position = 1
        async for request in request_iterator:
            results = [purchase_pb2.PurchaseResult(recorded=_recorded(one)) for one in request.purchases]
            yield purchase_pb2.StreamPurchasesResponse(first_position=position, results=results)
            position += len(results)


def _recorded(request: purchase_pb2.RecordPurchaseRequest) -> purchase_pb2.RecordPurchaseResponse:
    purchase = purchase_pb2.Purchase(receipt_number=request.receipt_number, points=len(request.items))
    return purchase_pb2.RecordPurchaseResponse(purchase=purchase)


def _without_items() -> status_pb2.Status:
    refused = status_pb2.Status(code=3, message="the request is not valid")
    violation = error_details_pb2.BadRequest.FieldViolation(field="items", description="at least 1")
    for detail in (
        error_details_pb2.ErrorInfo(reason="VALIDATION_FAILED", domain="scrip", metadata={"a": "b"}),
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1)),
    ):
        refused.details.add().Pack(detail)
    return refused


class _Points(points_pb2_grpc.PointsServiceServicer):
    async def ListMyEntries(
        self, request: points_pb2.ListMyEntriesRequest, context: Context
    ) -> points_pb2.ListMyEntriesResponse:
        entries = [
            points_pb2.Entry(sequence=n, kind=request.kind, delta=n, adjustment_id="r" * 40)
            for n in range(request.page_size)
        ]
        return points_pb2.ListMyEntriesResponse(entries=entries)


class _Shop(shop_pb2_grpc.ShopServiceServicer):
    async def GetOffer(
        self, request: shop_pb2.GetOfferRequest, context: Context
    ) -> shop_pb2.GetOfferResponse:
        return shop_pb2.GetOfferResponse(offer=shop_pb2.Offer(voucher_id=request.voucher_id))

    async def WatchQuantity(
        self, request: shop_pb2.WatchQuantityRequest, context: Context
    ) -> AsyncIterator[shop_pb2.WatchQuantityResponse]:
        if request.voucher_id == MISSING:
            info = error_details_pb2.ErrorInfo(reason="VOUCHER_NOT_FOUND", domain="scrip")
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "no such voucher", info)
        yield shop_pb2.WatchQuantityResponse(quantity_left=3)
        for left in (2, 0):
            await asyncio.sleep(float(request.voucher_id))
            yield shop_pb2.WatchQuantityResponse(quantity_left=left)

    async def WatchQuantityEvents(
        self, request: shop_pb2.WatchQuantityEventsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        watching = shop_pb2.WatchQuantityRequest(voucher_id=request.voucher_id)
        async for reply in self.WatchQuantity(watching, context):
            left = reply.quantity_left
            yield httpbody_pb2.HttpBody(
                content_type="text/event-stream", data=b'id: 7\ndata: {"quantity_left":%d}\n\n' % left
            )


class _Codes(promo_code_pb2_grpc.CodeServiceServicer):
    async def VerifyCode(
        self, request: promo_code_pb2.VerifyCodeRequest, context: Context
    ) -> promo_code_pb2.VerifyCodeResponse:
        if request.code == SLOW:
            await asyncio.sleep(30)
        if request.code == UNAVAILABLE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no database")
        if request.code in FAULTS:
            await context.abort(FAULTS[request.code], "a fault")
        return promo_code_pb2.VerifyCodeResponse(code_id=request.code)

    async def CancelRedemption(
        self, request: promo_code_pb2.CancelRedemptionRequest, context: Context
    ) -> promo_code_pb2.CancelRedemptionResponse:
        redemption = promo_code_pb2.Redemption(id=request.redemption_id)
        return promo_code_pb2.CancelRedemptionResponse(redemption=redemption)


class _Exports(grpc.GenericRpcHandler):
    """Serves SLOW_EXPORT."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns the handler of the one method."""
        if call.method != SLOW_EXPORT:
            return None

        async def export(request: bytes, context: Context) -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.sleep(float(request))
            yield b"last"

        return grpc.unary_stream_rpc_method_handler(export)


class Upstream:
    """One gRPC server that plays services, and remembers the calls that reached it."""

    def __init__(self, ports: Sequence[int], *add: Callable[[grpc.aio.Server], None]) -> None:
        self.calls: list[Call] = []
        self._ports = ports
        self._add = add
        self._server: grpc.aio.Server | None = None

    @property
    def last(self) -> Call:
        """The last call that reached it."""
        return self.calls[-1]

    async def start(self) -> None:
        """Listens on all of its ports, and is healthy."""
        self._server = grpc.aio.server(
            interceptors=[_Recorder(self.calls)],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_metadata_size", 64 << 10),
                ("grpc.absolute_max_metadata_size", 64 << 10),
            ],
        )
        self._server.add_generic_rpc_handlers((_Exports(),))
        for add in self._add:
            add(self._server)
        healthy = health.aio.HealthServicer()
        await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, self._server)
        for port in self._ports:
            self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        """Stops at once, cutting off the calls under way."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


def main_upstream(ports: Sequence[int]) -> Upstream:
    """Identity, points and vouchers in one server, as far as tests call them."""
    return Upstream(
        ports,
        lambda server: auth_pb2_grpc.add_AuthServiceServicer_to_server(_some(_Auth), server),
        lambda server: member_pb2_grpc.add_MemberServiceServicer_to_server(_some(_Members), server),
        lambda server: purchase_pb2_grpc.add_PurchaseServiceServicer_to_server(_some(_Purchases), server),
        lambda server: points_pb2_grpc.add_PointsServiceServicer_to_server(_some(_Points), server),
        lambda server: shop_pb2_grpc.add_ShopServiceServicer_to_server(_some(_Shop), server),
    )


def promos_upstream(ports: Sequence[int]) -> Upstream:
    """Promos, in a server of its own so that it can be away."""
    return Upstream(
        ports, lambda server: promo_code_pb2_grpc.add_CodeServiceServicer_to_server(_some(_Codes), server)
    )


def _some(servicer: Callable[[], Any]) -> Any:
    """Returns a servicer without all of its methods, which the stubs allow and their types do not."""
    return servicer()
