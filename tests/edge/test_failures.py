"""Services that are away or slow, and what the edge does about it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from scrip.promos.v1 import code_pb2, code_pb2_grpc

from stack.ports import free_port
from stack.services import ports
from stack.settings import Settings
from tests.edge import upstream
from tests.edge.edge import Edge, Node, nodes_with, running
from tests.edge.refusals import reason_in_json, reason_over_grpc

CALL_SECONDS = 1.0
IDLE_SECONDS = 1.5


def _impatient(config: Node, settings: Settings) -> None:
    for route in nodes_with(config, "cluster"):
        if route.get("timeout") == "10s":
            route["timeout"] = f"{CALL_SECONDS}s"
    for manager in nodes_with(config, "stream_idle_timeout"):
        manager |= {"stream_idle_timeout": f"{IDLE_SECONDS}s", "request_timeout": f"{CALL_SECONDS}s"}
    for cluster in config["static_resources"]["clusters"]:
        for check in cluster.get("health_checks", ()):
            check |= {"interval": "0.2s", "no_traffic_interval": "0.2s", "unhealthy_interval": "0.2s"}
        if cluster["name"] == "identity":
            # A second process that is not there, and no health check to find out.
            del cluster["health_checks"]
            live = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            address = {"address": "127.0.0.1", "port_value": free_port()}
            live.append({"endpoint": {"address": {"socket_address": address}}})


@pytest_asyncio.fixture(scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """An edge that waits only a moment."""
    async with running(tmp_path_factory.mktemp("edge"), _impatient) as started:
        yield started


def _verify(code: str) -> dict[str, Any]:
    return {"method": "POST", "url": "/v1/codes:verify", "json": {"code": code}}


def _is_unavailable(answer: httpx.Response) -> bool:
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["details"][1]["retry_delay"] == "1s"
    return answer.status_code == 503 and reason_in_json(answer) == "DEPENDENCY_UNAVAILABLE"


async def _is_unavailable_over_grpc(edge: Edge, code: str) -> None:
    async with grpc.aio.insecure_channel(edge.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await code_pb2_grpc.CodeServiceStub(channel).VerifyCode(code_pb2.VerifyCodeRequest(code=code))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_over_grpc(caught.value) == "DEPENDENCY_UNAVAILABLE"
    assert dict(caught.value.initial_metadata() or caught.value.trailing_metadata())["retry-after"] == "1"


async def _until_health_is(status: int, edge: Edge) -> None:
    deadline = time.monotonic() + 10
    while (await edge.http.get("/healthz")).status_code != status:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_call_that_takes_too_long_is_503_and_is_not_sent_again(impatient: Edge) -> None:
    before = len(impatient.promos.calls)
    assert _is_unavailable(await impatient.http.request(**_verify(upstream.SLOW)))
    await _is_unavailable_over_grpc(impatient, upstream.SLOW)
    assert len(impatient.promos.calls) == before + 2


async def test_a_call_that_failed_at_the_service_is_not_sent_again(impatient: Edge) -> None:
    before = len(impatient.promos.calls)
    answer = await impatient.http.request(**_verify(upstream.UNAVAILABLE))
    assert answer.status_code == 503
    assert answer.json()["message"] == "no database"
    assert len(impatient.promos.calls) == before + 1


async def test_a_quiet_stream_outlives_the_times_for_calls(impatient: Edge) -> None:
    pause = IDLE_SECONDS + 0.2
    async with impatient.http.stream("GET", f"/v1/offers/{pause}/quantity:watch") as answer:
        body = (await answer.aread()).decode()
    assert body.count("data: ") == 3


async def test_an_export_outlives_the_time_for_calls_whatever_it_is_called(impatient: Edge) -> None:
    async with grpc.aio.insecure_channel(impatient.target) as channel:
        method: Any = channel.unary_stream(upstream.SLOW_EXPORT)
        parts = [part async for part in method(str(CALL_SECONDS + 0.5).encode(), timeout=20)]
    assert parts == [b"first", b"last"]


async def test_a_request_that_does_not_arrive_is_408(impatient: Edge) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(IDLE_SECONDS)

    answer = await impatient.http.post("/v1/otps", content=half())
    assert answer.status_code == 408
    assert reason_in_json(answer) == "REQUEST_TIMED_OUT"


async def test_a_process_that_is_not_there_goes_unnoticed(impatient: Edge) -> None:
    answers = [await impatient.http.get("/v1/members/me") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    metrics = (await impatient.http.get(f"{impatient.ops}/metrics")).text
    failed = 'envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name="identity"} '
    assert int(metrics.partition(failed)[2].split()[0]) > 0


async def test_a_service_that_is_away_is_503_until_it_is_back(impatient: Edge) -> None:
    await impatient.promos.stop()
    try:
        assert _is_unavailable(await impatient.http.request(**_verify("C-1")))
        await _is_unavailable_over_grpc(impatient, "C-1")
        # The others go on.
        assert (await impatient.http.get("/v1/offers/o-1")).status_code == 200
        await _until_health_is(503, impatient)
    finally:
        await impatient.promos.start()
    await _until_health_is(200, impatient)
    assert (await impatient.http.request(**_verify("C-1"))).status_code == 200


async def test_a_call_whose_connection_is_cut_is_503_and_is_not_sent_again(impatient: Edge) -> None:
    received = []
    connections: list[asyncio.StreamWriter] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        seen = b""
        while part := await reader.read(65536):
            seen += part
            if b"C-CUT" in seen:
                received.append(seen)
                break
        writer.transport.abort()

    (port,) = ports(impatient.settings)["promos"]
    await impatient.promos.stop()
    server = await asyncio.start_server(cut, "127.0.0.1", port)
    try:
        assert _is_unavailable(await impatient.http.request(**_verify("C-CUT")))
    finally:
        server.close()
        for connection in connections:  # those of health checks are open still
            connection.transport.abort()
            with contextlib.suppress(OSError):
                await connection.wait_closed()
        await impatient.promos.start()
    assert len(received) == 1
    await _until_health_is(200, impatient)
