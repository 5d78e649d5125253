"""Calls to other services: with a deadline, a token, and errors in the domain's terms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common import channels, server, telemetry
from services.common.channels import DEADLINE_SECONDS, Peers, ServiceTokens, call, open_channel
from services.common.errors import DomainError, OutcomeUnknownError
from services.common.settings import ServiceSettings

RESOLVE = identity_pb2.BatchResolveMemberCodesRequest(member_codes=["X"])


class Identity(identity_pb2_grpc.IdentityInternalServiceServicer):
    """Issues tokens of an hour, counts them, and is slow or away on demand."""

    def __init__(self) -> None:
        self.issued = 0
        self.away = False
        self.let = asyncio.Event()
        self.let.set()
        self.metadata: dict[str, str] = {}
        self.checked: list[list[str]] = []

    async def IssueServiceToken(
        self, request: identity_pb2.IssueServiceTokenRequest, context: Any
    ) -> identity_pb2.IssueServiceTokenResponse:
        """Returns a token with its number."""
        await asyncio.sleep(0.01)
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.issued += 1
        return identity_pb2.IssueServiceTokenResponse(token=f"token-{self.issued}", expires_in=3600)

    async def BatchResolveMemberCodes(
        self, request: identity_pb2.BatchResolveMemberCodesRequest, context: Any
    ) -> identity_pb2.BatchResolveMemberCodesResponse:
        """Nobody."""
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        await self.let.wait()
        return identity_pb2.BatchResolveMemberCodesResponse()

    async def BatchCheckSessions(
        self, request: identity_pb2.BatchCheckSessionsRequest, context: Any
    ) -> identity_pb2.BatchCheckSessionsResponse:
        """Each is active with a login named after him."""
        self.checked.append(list(request.subject_ids))
        reply = identity_pb2.BatchCheckSessionsResponse()
        for subject_id in request.subject_ids:
            reply.found.add(version=1, status="active", session_ids=[f"login of {subject_id}"])
        return reply


@pytest.fixture
async def served() -> AsyncIterator[tuple[Identity, grpc.aio.Channel]]:
    """Such an identity, and a channel to it."""
    identity = Identity()  # type: ignore[abstract]  # the other RPCs are never reached
    server = grpc.aio.server()
    identity_pb2_grpc.add_IdentityInternalServiceServicer_to_server(identity, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"ipv4:127.0.0.1:{port}")
    yield identity, channel
    await channel.close()
    await server.stop(None)


async def test_a_call_takes_the_request_id_and_the_token_along(
    served: tuple[Identity, grpc.aio.Channel],
) -> None:
    identity, channel = served
    telemetry.begin_request("request-9")
    stub = identity_pb2_grpc.IdentityInternalServiceStub(channel)
    await call("identity", stub.BatchResolveMemberCodes, RESOLVE, token=_token)
    assert identity.metadata["x-request-id"] == "request-9"
    assert identity.metadata["authorization"] == "Bearer of-mine"


async def _token() -> str:
    return "of-mine"


async def test_no_answer_in_time_leaves_the_outcome_unknown(
    served: tuple[Identity, grpc.aio.Channel],
) -> None:
    identity, channel = served
    identity.let.clear()
    stub = identity_pb2_grpc.IdentityInternalServiceStub(channel)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknownError) as caught:
        await call("identity", stub.BatchResolveMemberCodes, RESOLVE, seconds=0.2)
    assert 0.15 < time.monotonic() - begun < 1.5
    assert caught.value.metadata == {"dependency": "identity"}
    identity.let.set()


async def test_nobody_there_is_waited_for_until_the_deadline() -> None:
    channel = open_channel("ipv4:127.0.0.1:1")
    stub = identity_pb2_grpc.IdentityInternalServiceStub(channel)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknownError):
        await call("identity", stub.BatchResolveMemberCodes, RESOLVE)
    assert time.monotonic() - begun < DEADLINE_SECONDS + 1
    await channel.close()


async def test_many_who_need_a_token_at_once_fetch_one(served: tuple[Identity, grpc.aio.Channel]) -> None:
    identity, channel = served
    tokens = ServiceTokens(channel, "points", "secret")
    assert set(await asyncio.gather(*(tokens() for _ in range(50)))) == {"token-1"}
    assert identity.issued == 1


class Clock:
    """The time as the code under test sees it; the event loop keeps its own."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock to turn."""
    clock = Clock()
    monkeypatch.setattr(channels, "time", clock)
    return clock


async def test_the_next_token_is_fetched_at_four_fifths_of_a_life(
    served: tuple[Identity, grpc.aio.Channel], clock: Clock
) -> None:
    _, channel = served
    tokens = ServiceTokens(channel, "points", "secret")
    for seconds, expected in ((0, "token-1"), (2_879, "token-1"), (2_881, "token-2"), (5_700, "token-2")):
        clock.now = 1_000.0 + seconds
        assert await tokens() == expected


async def test_while_identity_is_away_the_old_token_serves_on_but_not_to_its_very_end(
    served: tuple[Identity, grpc.aio.Channel], clock: Clock
) -> None:
    identity, channel = served
    tokens = ServiceTokens(channel, "points", "secret")
    assert await tokens() == "token-1"
    identity.away = True
    clock.now += 3_000
    assert await tokens() == "token-1"
    identity.away = False
    clock.now += 1
    assert await tokens() == "token-1", "identity is not asked again at once"
    clock.now += 5
    assert await tokens() == "token-2"
    identity.away = True
    clock.now += 3_450
    with pytest.raises(OutcomeUnknownError):
        await tokens()


async def test_without_identity_and_without_a_token_there_is_none(
    served: tuple[Identity, grpc.aio.Channel],
) -> None:
    identity, channel = served
    identity.away = True
    tokens = ServiceTokens(channel, "points", "secret")
    with pytest.raises(DomainError) as caught:
        await tokens()
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    identity.away = False
    assert await tokens() == "token-1"


async def test_logins_that_are_asked_about_at_once_share_calls(
    served: tuple[Identity, grpc.aio.Channel],
) -> None:
    identity, channel = served
    nobody = "ipv4:127.0.0.1:1"
    settings = ServiceSettings(
        database_url="",
        redis_url="",
        identity_target=nobody,
        points_target=nobody,
        vouchers_target=nobody,
        promos_target=nobody,
    )
    peers = Peers("points", settings)
    await peers.identity.close()
    peers.identity = channel
    peers._identity = identity_pb2_grpc.IdentityInternalServiceStub(channel)
    peers.token = _token
    asked = [str(number) for number in range(300)]
    found = await asyncio.gather(*map(peers.check_session, asked))
    assert [state.session_ids for state in found] == [frozenset({f"login of {one}"}) for one in asked]
    assert sorted(one for together in identity.checked for one in together) == sorted(asked)
    assert len(identity.checked) <= 10
    assert max(map(len, identity.checked)) <= 200
    await peers.close()


async def test_a_quiet_connection_is_kept_though_it_is_tried_all_the_time() -> None:
    """Here ten times as often as by services. A server that is tried more than it permits ends it."""
    kept, permits = dict(channels._OPTIONS), "grpc.http2.min_ping_interval_without_data_ms"
    # Pings without end, as where calls come now and then.
    kept |= {"grpc.keepalive_time_ms": 1_000, "grpc.http2.max_pings_without_data": 0}
    permitted = dict(server._OPTIONS)
    permitted[permits] //= 10
    listening = grpc.aio.server(options=list(permitted.items()))
    port = listening.add_insecure_port("127.0.0.1:0")
    await listening.start()
    async with grpc.aio.insecure_channel(f"ipv4:127.0.0.1:{port}", options=list(kept.items())) as channel:
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(8.0):
                await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
    await listening.stop(None)
