"""Calls to other services: with a deadline, a service token, and errors in the domain's terms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import orjson
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.common import status, telemetry
from services.common.batching import Batcher
from services.common.errors import OutcomeUnknownError
from services.common.sessions import SessionState
from services.common.settings import ServiceSettings

R = TypeVar("R")
TokenSource = Callable[[], Awaitable[str]]

DEADLINE_SECONDS = 2.0
_TRY_AGAIN_SECONDS = 5.0
_CHECKS_AT_ONCE = 2
"""Questions about logins, so that one that hangs does not hold up all others; with fewer each holds more."""
_OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),
    # A connection that delivers nothing any more, and was not cut, is given up after 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # else a ping is waited for a minute, whatever keepalive says
    ("grpc.keepalive_permit_without_calls", 1),  # else it waits for a call that happens to be under way
    ("grpc.enable_retries", 0),  # the caller decides on repeating, with its own bounds
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def open_channel(target: str) -> grpc.aio.Channel:
    """Returns a channel to a service; `target` may name several processes of it."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)


async def call(
    dependency: str,
    method: Callable[..., Any],
    request: object,
    *,
    token: TokenSource | None = None,
    seconds: float = DEADLINE_SECONDS,
) -> Any:
    """Calls another service.

    Raises the domain error of its reply when that is a definite refusal, and OutcomeUnknownError when
    there was no reply in time or one that leaves the outcome open.
    """
    metadata: list[tuple[str, str]] = []
    if telemetry.request_id():
        metadata.append(("x-request-id", telemetry.request_id()))
    if token:
        metadata.append(("authorization", f"Bearer {await token()}"))
    try:
        # Waiting for the connection, within the deadline, bridges a restart of the other side.
        return await method(request, timeout=seconds, metadata=metadata, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error, dependency) from error


class ServiceTokens:
    """Fetches this service's token from identity, and fetches the next one at 80 % of its life."""

    def __init__(self, identity: grpc.aio.Channel, service: str, secret: str) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(identity)
        self._request = identity_pb2.IssueServiceTokenRequest(service=service, secret=secret)
        self._token = ""
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        """Returns a valid token. Raises OutcomeUnknownError when identity is away and none is held."""
        if time.monotonic() < self._renew_at:
            return self._token
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                await self._renew()
        return self._token

    async def _renew(self) -> None:
        now = time.monotonic()
        try:
            reply = await call("identity", self._stub.IssueServiceToken, self._request)
        except OutcomeUnknownError:
            if now >= self._ends_at:
                raise
            self._renew_at = now + _TRY_AGAIN_SECONDS  # the one that is held is still good
            return
        self._token = reply.token
        self._renew_at = now + 0.8 * reply.expires_in
        self._ends_at = now + 0.95 * reply.expires_in


class Peers:
    """The channels of a service to the others, and its token for calling them."""

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        self.identity = open_channel(settings.identity_target)
        self.points = open_channel(settings.points_target)
        self.vouchers = open_channel(settings.vouchers_target)
        self.promos = open_channel(settings.promos_target)
        self.token: TokenSource = ServiceTokens(
            self.identity, service, settings.service_secret.get_secret_value()
        )
        self._identity = identity_pb2_grpc.IdentityInternalServiceStub(self.identity)
        self._auth = auth_pb2_grpc.AuthServiceStub(self.identity)
        self._checks = Batcher("session_checks", self._check_sessions, max_parallel=_CHECKS_AT_ONCE)

    async def fetch_jwks(self) -> Any:
        """Returns the public signing keys, from identity."""
        reply = await call("identity", self._auth.GetJwks, auth_pb2.GetJwksRequest())
        return orjson.loads(reply.data)

    async def check_session(self, subject_id: str) -> SessionState:
        """Returns somebody's active logins, from identity. Those who are asked about at once share a call."""
        return await self._checks.submit(subject_id)

    async def _check_sessions(self, subject_ids: list[str]) -> list[SessionState]:
        request = identity_pb2.BatchCheckSessionsRequest(subject_ids=subject_ids)
        reply = await call("identity", self._identity.BatchCheckSessions, request, token=self.token)
        return [
            SessionState(subject_id, found.version, found.status, frozenset(found.session_ids))
            for subject_id, found in zip(subject_ids, reply.found, strict=True)
        ]

    async def close(self) -> None:
        """Closes all channels."""
        for channel in (self.identity, self.points, self.vouchers, self.promos):
            await channel.close()
