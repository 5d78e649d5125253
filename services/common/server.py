"""A service's start and stop: interceptor, health by its checks, reflection, graceful drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import status
from services.common.auth import Authenticator, Gate, TokenVerifier
from services.common.errors import not_served
from services.common.housekeeping import end, keep_running
from services.common.interceptors import Guard
from services.common.settings import ServiceSettings

log = logging.getLogger(__name__)
# gRPC logs an error for each header that is not UTF-8, and serves the call: anybody may send one.
logging.getLogger("grpc._cython.cygrpc").addFilter(
    lambda record: not str(record.msg).startswith("Invalid encoding on")
)

_CHECK_SECONDS = 1.0
_LAST_SECONDS = 0.5
_MAX_METADATA_BYTES = 64 << 10
"""More than the edge lets through with what it adds; between gRPC's own two limits it refuses at random."""
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.http2.bdp_probe", 0),  # it lets megabytes of a stream that nobody reads gather here
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # half of what our own channels keep
]


@dataclass(frozen=True)
class Servicer:
    """An implementation of one proto service; see `servicer`."""

    name: str
    """Full name of the proto service."""
    add: Callable[[Any, grpc.aio.Server], None]
    implementation: object


def servicer(name: str, add: Callable[[Any, grpc.aio.Server], None], *parts: object) -> Servicer:
    """Returns a proto service put together from objects that each implement some of its RPCs.

    Raises RuntimeError unless each RPC is there exactly once.
    """
    merged: dict[str, object] = {}
    for method in descriptor_pool.Default().FindServiceByName(name).methods:
        found = [part for part in parts if hasattr(part, method.name)]
        if len(found) != 1:
            raise RuntimeError(f"{name}.{method.name} must be implemented once, not {len(found)} times")
        merged[method.name] = getattr(found[0], method.name)
    return Servicer(name, add, SimpleNamespace(**merged))


@dataclass(frozen=True)
class Service:
    """What a composition root hands over to be served."""

    servicers: Sequence[Servicer]
    verifier: TokenVerifier
    gate: Gate
    checks: Sequence[Callable[[], Awaitable[bool]]]
    """All must return true for the service to be healthy."""
    loops: Sequence[Callable[[], Awaitable[None]]] = ()
    """Run beside the server until it stops; one that fails is begun again."""
    on_stop: Sequence[Callable[[], None]] = ()
    """Called when the service begins to stop."""
    drains: Sequence[Callable[[], Awaitable[None]]] = ()
    """Awaited after the last call has ended."""
    max_request_bytes: int = 4 << 20
    """Of one message; larger ones are refused unread."""


class _NotServed(grpc.GenericRpcHandler):
    """Stands for every method that no servicer has, so that it too is refused with a reason."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Refuses. Only health and reflection get here: the interceptor refuses all else before."""

        async def refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            await status.abort(context, status.to_status(not_served(call.method)))
            raise AssertionError("abort never returns")

        return grpc.unary_unary_rpc_method_handler(refuse)


class RunningService:
    """A service that listens."""

    def __init__(self, service: Service, settings: ServiceSettings) -> None:
        self._service = service
        self._settings = settings
        names = [servicer.name for servicer in service.servicers]
        guard = Guard(Authenticator(service.verifier, service.gate, names))
        options = [*_OPTIONS, ("grpc.max_receive_message_length", service.max_request_bytes)]
        self._server = grpc.aio.server(interceptors=[guard], options=options)
        for servicer in service.servicers:
            servicer.add(servicer.implementation, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            reflection.enable_server_reflection(
                [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
            )
        self._server.add_generic_rpc_handlers((_NotServed(),))
        self._tasks: list[asyncio.Future[None]] = []
        self._failing: set[Callable[[], Awaitable[bool]]] = set()

    async def start(self) -> int:
        """Listens; returns the port. Calls are served at once; health follows the checks."""
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        port = self._server.add_insecure_port(self._settings.listen)
        await self._server.start()
        loops = (self._watch_health, *self._service.loops)
        self._tasks = [asyncio.ensure_future(keep_running(loop)) for loop in loops]
        return port

    async def stop(self) -> None:
        """Takes no more calls, and lets those in flight and their tasks finish within the drain time."""
        for begin in self._service.on_stop:
            begin()
        await end(self._tasks)
        await self._health.enter_graceful_shutdown()
        until = time.monotonic() + self._settings.drain_seconds
        await self._server.stop(self._settings.drain_seconds)
        for drain in self._service.drains:
            try:
                async with asyncio.timeout(max(_LAST_SECONDS, until - time.monotonic())):
                    await drain()
            except TimeoutError:
                log.warning("some work was still under way when the drain time was over")

    async def _watch_health(self) -> None:
        serving: bool | None = None
        while True:
            healthy = all([await self._passes(check) for check in self._service.checks])
            if healthy != serving:
                serving = healthy
                log.info("healthy" if healthy else "not healthy")
                answer = health_pb2.HealthCheckResponse
                await self._health.set("", answer.SERVING if healthy else answer.NOT_SERVING)
            await asyncio.sleep(_CHECK_SECONDS if healthy else 0.1)

    async def _passes(self, check: Callable[[], Awaitable[bool]]) -> bool:
        """Returns whether a check says yes. One that fails says no, and is told when it begins to."""
        try:
            passed = await check()
        except Exception:
            if check not in self._failing:
                log.exception("a health check failed")
            self._failing.add(check)
            return False
        self._failing.discard(check)
        return passed


async def run_server(service: Service, settings: ServiceSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then drains."""
    running = RunningService(service, settings)
    await running.start()
    log.info("listening on %s", settings.listen)
    await stop.wait()
    await running.stop()
