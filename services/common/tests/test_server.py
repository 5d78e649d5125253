"""A service's start and stop: health by its checks, a drain, reflection, and what every call meets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, otp_pb2

from services.common import schema, telemetry
from services.common.auth import KeyRing, TokenVerifier
from services.common.caller import Caller
from services.common.db import Database
from services.common.errors import DomainError
from services.common.server import RunningService, Service, Servicer, run_server
from services.common.settings import ServiceSettings
from stack.postgres import Postgres
from tests.inprocess import eventually, reason, refusal

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
CREDENTIALS = auth_pb2.PasswordCredentials(user_name="admin", password="pw")
LOG_IN = auth_pb2.LogInRequest(password=CREDENTIALS)


class AuthHandlers(auth_pb2_grpc.AuthServiceServicer):
    """Logs in when it is let, and raises errors on demand."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()
        self.error: Exception | None = None
        self.request_ids: list[str] = []

    async def LogIn(self, request: auth_pb2.LogInRequest, context: object) -> auth_pb2.LogInResponse:
        self.begun.set()
        self.request_ids.append(telemetry.request_id())
        await self.let.wait()
        if self.error:
            raise self.error
        return auth_pb2.LogInResponse(token=auth_pb2.AccessToken(token_type="Bearer"))


def settings(**values: Any) -> ServiceSettings:
    """Settings of a service that listens somewhere."""
    needed = (
        "database_url",
        "redis_url",
        "identity_target",
        "points_target",
        "vouchers_target",
        "promos_target",
    )
    defaults: dict[str, Any] = {"listen": "127.0.0.1:0", "drain_seconds": 2.0}
    return ServiceSettings(**dict.fromkeys(needed, "nowhere") | defaults | values)


class NoLogins:
    """A gate that is never asked: nothing here needs a token."""

    async def require(self, who: Caller) -> None:
        """Fails."""
        raise AssertionError(who)


async def no_keys() -> dict[str, Any]:
    """Returns a set without keys."""
    return {"keys": []}


def service(handlers: AuthHandlers, **parts: Any) -> Service:
    """Returns a service with one servicer."""
    name = "scrip.identity.v1.AuthService"
    servicer = Servicer(name, auth_pb2_grpc.add_AuthServiceServicer_to_server, handlers)
    return Service([servicer], TokenVerifier(KeyRing(no_keys)), NoLogins(), **{"checks": [], **parts})


@asynccontextmanager
async def running(
    handlers: AuthHandlers, options: dict[str, Any] | None = None, **parts: Any
) -> AsyncIterator[tuple[RunningService, grpc.aio.Channel]]:
    """The service while it runs, and a channel to it."""
    started = RunningService(service(handlers, **parts), settings(**options or {}))
    port = await started.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield started, channel
    finally:
        await started.stop()


async def health(channel: grpc.aio.Channel) -> int:
    """Returns the state that the service reports."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    return int(reply.status)


def says(channel: grpc.aio.Channel, expected: int) -> Callable[[], Awaitable[None]]:
    """Returns a check of the state that the service reports."""

    async def check() -> None:
        assert await health(channel) == expected

    return check


async def code_of(call: Awaitable[object]) -> grpc.StatusCode:
    """Returns the code with which a call ended."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


@pytest.fixture
def handlers() -> AuthHandlers:
    """Handlers in the test's hands."""
    return AuthHandlers()  # type: ignore[abstract]  # the other RPCs are never reached


def log_in(channel: grpc.aio.Channel, **options: Any) -> Any:
    """A call."""
    return auth_pb2_grpc.AuthServiceStub(channel).LogIn(LOG_IN, **{"timeout": 10, **options})


# Health


@pytest.mark.covers("E2")
async def test_health_follows_the_database_away_and_back(handlers: AuthHandlers, tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", fsync=False)
    server.start()
    server.create_database("points")
    version = schema.head("points")
    server.psql(
        f"CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('{version}');"
        " GRANT SELECT ON alembic_version TO scrip",
        "points",
    )
    db = Database(server.url("points"), pool_size=2)
    async with running(handlers, checks=[schema.at_head("points", db)]) as (_, channel):
        await eventually(says(channel, SERVING))
        await asyncio.to_thread(server.stop)
        await eventually(says(channel, NOT_SERVING))
        await asyncio.to_thread(server.start)
        await eventually(says(channel, SERVING))
        server.psql("UPDATE alembic_version SET version_num = '0000'", "points")
        await eventually(says(channel, NOT_SERVING))
        server.psql(f"UPDATE alembic_version SET version_num = '{version}'", "points")
        await eventually(says(channel, SERVING))
    await db.close()
    server.stop()


async def test_all_checks_must_say_yes_and_none_has_said_so_at_the_start(handlers: AuthHandlers) -> None:
    passing = {"database": False, "keys": False}
    checks = [lambda name=name: _passes(passing, name) for name in passing]
    async with running(handlers, checks=checks) as (_, channel):
        await says(channel, NOT_SERVING)()
        for name in passing:
            await asyncio.sleep(0.15)
            await says(channel, NOT_SERVING)()
            passing[name] = True
        await eventually(says(channel, SERVING), seconds=1)
        passing["keys"] = False
        await eventually(says(channel, NOT_SERVING), seconds=2)


async def _passes(passing: dict[str, bool], name: str) -> bool:
    return passing[name]


async def test_watchers_of_health_are_told_of_a_stop(handlers: AuthHandlers) -> None:
    async with running(handlers, {"drain_seconds": 0.3}) as (started, channel):
        await eventually(says(channel, SERVING))
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        await started.stop()
        assert (await watch.read()).status == NOT_SERVING


# Stopping


async def test_a_stop_lets_the_call_in_flight_finish_and_takes_no_other(handlers: AuthHandlers) -> None:
    handlers.let.clear()
    async with running(handlers) as (started, channel):
        call = asyncio.ensure_future(log_in(channel))
        await handlers.begun.wait()
        stopping = asyncio.create_task(started.stop())
        await asyncio.sleep(0.2)
        assert not stopping.done()
        assert await code_of(log_in(channel, timeout=1)) is grpc.StatusCode.UNAVAILABLE
        handlers.let.set()
        assert (await call).token.token_type == "Bearer"
        async with asyncio.timeout(1):
            await stopping


async def test_a_call_that_never_ends_is_cut_off_when_the_drain_time_is_over(handlers: AuthHandlers) -> None:
    handlers.let.clear()
    async with running(handlers, {"drain_seconds": 0.3}) as (started, channel):
        call = asyncio.ensure_future(log_in(channel))
        await handlers.begun.wait()
        begun = time.monotonic()
        await started.stop()
        assert 0.25 < time.monotonic() - begun < 1.5
        assert await code_of(call) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_work_that_outlives_its_request_is_waited_for_but_not_for_ever(handlers: AuthHandlers) -> None:
    order: list[str] = []

    async def saga() -> None:
        await asyncio.sleep(0.2)
        order.append("saga")

    async def endless() -> None:
        order.append("endless")
        await asyncio.Event().wait()

    parts = {"drains": [saga, endless], "on_stop": [lambda: order.append("told")]}
    async with running(handlers, {"drain_seconds": 0.5}, **parts) as (started, _):
        begun = time.monotonic()
        await started.stop()
        assert time.monotonic() - begun < 2
        assert order == ["told", "saga", "endless"]
        started._service = service(handlers)  # it is stopped once more at the end


async def test_a_server_ends_when_told_and_its_loops_with_it(handlers: AuthHandlers) -> None:
    ended = asyncio.Event()

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stop = asyncio.Event()
    serving = asyncio.create_task(run_server(service(handlers, loops=[loop]), settings(), stop))
    await asyncio.sleep(0.1)
    stop.set()
    async with asyncio.timeout(3):
        await serving
    assert ended.is_set()


@pytest.mark.parametrize("how", ["fails", "returns"])
async def test_a_loop_that_ends_ends_nothing_and_is_begun_again(handlers: AuthHandlers, how: str) -> None:
    begun = 0

    async def loop() -> None:
        nonlocal begun
        begun += 1
        if how == "fails":
            raise ValueError("broken")

    async def again() -> None:
        assert begun >= 2

    async with running(handlers, loops=[loop]) as (_, channel):
        await eventually(again)
        assert (await log_in(channel)).token.token_type == "Bearer"
        await says(channel, SERVING)()


async def test_a_health_check_that_fails_says_no_and_is_told_once(
    handlers: AuthHandlers, caplog: pytest.LogCaptureFixture
) -> None:
    broken = asyncio.Event()
    broken.set()

    async def check() -> bool:
        if broken.is_set():
            raise ValueError("broken")
        return True

    async with running(handlers, checks=[check]) as (_, channel):
        await asyncio.sleep(0.5)
        await says(channel, NOT_SERVING)()
        broken.clear()
        await eventually(says(channel, SERVING))
    assert len([record for record in caplog.records if record.exc_info]) == 1


# Reflection


async def listed(channel: grpc.aio.Channel) -> Sequence[str]:
    """Returns the services that reflection lists."""
    make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
    make_request: Any = reflection_pb2.ServerReflectionRequest
    call = make_stub(channel).ServerReflectionInfo(iter([make_request(list_services="")]), timeout=5)
    reply = await call.read()
    return sorted(found.name for found in reply.list_services_response.service)


@pytest.mark.covers("E2")
async def test_reflection_lists_what_is_served_when_it_is_on(handlers: AuthHandlers) -> None:
    async with running(handlers, {"reflection": True}) as (_, channel):
        assert await listed(channel) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "scrip.identity.v1.AuthService",
        ]


@pytest.mark.covers("E2")
async def test_reflection_does_not_exist_when_it_is_off(handlers: AuthHandlers) -> None:
    async with running(handlers) as (_, channel):
        assert await code_of(listed(channel)) is grpc.StatusCode.UNIMPLEMENTED


# What every call meets


async def test_an_unforeseen_error_is_told_without_its_words(handlers: AuthHandlers) -> None:
    handlers.error = ValueError("the password is hunter2")
    async with running(handlers) as (_, channel):
        name, code, metadata = await refusal(log_in(channel, metadata=[("x-request-id", "request-7")]))
        assert (name, code) == ("INTERNAL", grpc.StatusCode.INTERNAL)
        assert metadata == {"request_id": "request-7"}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await log_in(channel)
        assert "hunter2" not in str(caught.value)


async def test_a_domain_error_goes_out_as_it_is(handlers: AuthHandlers) -> None:
    handlers.error = DomainError("ACCOUNT_NOT_FOUND", "no such account")
    async with running(handlers) as (_, channel):
        assert await refusal(log_in(channel)) == ("ACCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {})


@pytest.mark.covers("E9")
async def test_request_ids_are_taken_over_bounded_and_made_when_missing(handlers: AuthHandlers) -> None:
    async with running(handlers) as (_, channel):
        for given in ("request-1", "x" * 500):
            await log_in(channel, metadata=[("x-request-id", given)])
        for _ in range(2):
            await log_in(channel)
    first, second, third, fourth = handlers.request_ids
    assert (first, second) == ("request-1", "x" * 64)
    assert UUID(third) != UUID(fourth)


@pytest.mark.parametrize(
    "path",
    ["/scrip.identity.v1.AuthService/Nothing", "/scrip.points.v1.PurchaseService/RecordPurchase", "/x.Y/Z"],
)
async def test_what_is_not_served_is_refused_with_a_reason(handlers: AuthHandlers, path: str) -> None:
    async with running(handlers) as (_, channel):
        method: Any = channel.unary_unary(path)
        name, code, metadata = await refusal(method(b"", timeout=5))
    assert (name, code) == ("NOT_SERVED", grpc.StatusCode.UNIMPLEMENTED)
    assert metadata == {"rpc": path}


NO_MESSAGES = (b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff")
"""Cut off, shorter than they say, and with a text that is not UTF-8: in all three RPCs used here."""


@pytest.mark.covers("E2")
@pytest.mark.parametrize("sent", NO_MESSAGES)
@pytest.mark.parametrize(
    "rpc", ["scrip.identity.v1.AuthService/RefreshSession", "grpc.health.v1.Health/Check"]
)
async def test_bytes_that_are_no_message_are_the_callers_fault(
    handlers: AuthHandlers, caplog: pytest.LogCaptureFixture, rpc: str, sent: bytes
) -> None:
    async with running(handlers) as (_, channel):
        method: Any = channel.unary_unary(f"/{rpc}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(sent, timeout=5)
        assert await refusal(method(sent, timeout=5)) == (
            "VALIDATION_FAILED",
            grpc.StatusCode.INVALID_ARGUMENT,
            {},
        )
    assert "protobuf" not in str(caught.value.details())
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("sent", NO_MESSAGES)
async def test_a_stream_ends_at_bytes_that_are_no_message(
    handlers: AuthHandlers, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async with running(handlers, {"reflection": True}) as (_, channel):
        method: Any = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        make_request: Any = reflection_pb2.ServerReflectionRequest
        call = method(timeout=5)
        await call.write(make_request(list_services="").SerializeToString())
        assert await call.read()
        await call.write(sent)
        assert (await refusal(call.read()))[0] == "VALIDATION_FAILED"
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_header_that_is_not_utf_8_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    of_grpc = logging.getLogger("grpc._cython.cygrpc")
    of_grpc.error("Invalid encoding on %s", b"\xff")
    of_grpc.error("Unexpected exception")
    assert [record.getMessage() for record in caplog.records] == ["Unexpected exception"]


@pytest.mark.parametrize("kibibytes", [7, 15, 40])
async def test_metadata_that_the_edge_lets_through_is_never_refused(
    handlers: AuthHandlers, kibibytes: int
) -> None:
    async with running(handlers) as (_, channel):
        for _ in range(20):  # gRPC's own limits refuse some and let others pass
            await log_in(channel, metadata=[("x-large", "x" * (kibibytes << 10))])


async def test_fields_that_break_their_rules_are_named(handlers: AuthHandlers) -> None:
    async with running(handlers) as (_, channel):
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        request = auth_pb2.RegisterMemberRequest(otp=otp_pb2.OtpProof(otp_id="x", code="12"), full_name=" ")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.RegisterMember(request)
        assert await reason(stub.RegisterMember(request)) == "VALIDATION_FAILED"
    for field in ("otp.otp_id", "otp.code", "full_name"):
        assert field in str(caught.value.details())
