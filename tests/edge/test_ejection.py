"""Nothing that a caller can cause puts a process of a service aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from scrip.promos.v1 import code_pb2

from stack.settings import Settings
from tests.edge import upstream
from tests.edge.edge import Edge, Node, limits, nodes_with, running

PROCESSES = 3
CALL_SECONDS = 1.0
JUDGED_SECONDS = 0.5
"""How often Envoy looks whether a process is to be put aside for a share of its calls."""
VERIFY: dict[str, Any] = {"method": "POST", "url": "/v1/codes:verify", "json": {"code": "C-1"}}


def _quick(config: Node, settings: Settings) -> None:
    limits(config)["nobody"] |= {"max_tokens": 100_000, "tokens_per_fill": 100_000}
    for route in nodes_with(config, "cluster"):
        if route.get("timeout") == "10s":
            route["timeout"] = f"{CALL_SECONDS}s"
    for cluster in nodes_with(config, "outlier_detection"):
        cluster["outlier_detection"]["interval"] = f"{JUDGED_SECONDS}s"


@pytest_asyncio.fixture(scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """An edge before several processes of each service, that judges them often."""
    async with running(tmp_path_factory.mktemp("edge"), _quick, processes=PROCESSES) as started:
        yield started


async def _ejections(edge: Edge) -> float:
    """Returns how often a process of promos was put aside."""
    metrics = (await edge.http.get(f"{edge.ops}/metrics")).text
    named = 'envoy_cluster_outlier_detection_ejections_enforced_total{envoy_cluster_name="promos"} '
    return float(metrics.partition(named)[2].split()[0])


@pytest.mark.covers("E1")
@pytest.mark.parametrize("fault", upstream.FAULTS)
async def test_what_a_service_answers_puts_none_of_its_processes_aside(edge: Edge, fault: str) -> None:
    before = await _ejections(edge)
    for _ in range(60):
        assert (await edge.http.request(**VERIFY | {"json": {"code": fault}})).status_code >= 500
    await asyncio.sleep(2 * JUDGED_SECONDS)
    assert (await edge.http.request(**VERIFY)).status_code == 200
    assert await _ejections(edge) == before


def _framed(message: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


_SLOW = _framed(code_pb2.VerifyCodeRequest(code=upstream.SLOW).SerializeToString())


@pytest.mark.covers("E1")
@pytest.mark.parametrize(
    ("headers", "content"),
    [
        pytest.param({"grpc-timeout": "20m"}, _SLOW, id="no-time"),
        pytest.param({"grpc-encoding": "gzip"}, _framed(b"\xff\xff", compressed=True), id="not-the-encoding"),
        pytest.param({"grpc-encoding": "nonsense"}, _framed(b"\xff\xff", compressed=True), id="no-encoding"),
        pytest.param({}, b"\0\0\1\0\0\xff", id="cut-off"),
        pytest.param({}, _framed(b"") * 3, id="too-many-messages"),
        pytest.param({}, b"\0\xff\xff\xff\xff", id="said-to-be-huge"),
        pytest.param({"x-odd": "\u00ff"}, _framed(b""), id="not-ascii"),
    ],
)
async def test_what_a_caller_sends_puts_no_process_aside(
    edge: Edge, headers: dict[str, str], content: bytes
) -> None:
    before = await _ejections(edge)
    said = httpx.Headers(
        [
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            *((name.encode(), value.encode("latin-1")) for name, value in headers.items()),
        ]
    )
    path = "/scrip.promos.v1.CodeService/VerifyCode"
    await asyncio.gather(*(edge.http.post(path, content=content, headers=said) for _ in range(80)))
    await asyncio.sleep(2 * JUDGED_SECONDS)
    assert (await edge.http.request(**VERIFY)).status_code == 200
    assert await _ejections(edge) == before
