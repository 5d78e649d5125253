"""Starts and stops a real Envoy with the committed configuration."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from stack import envoy
from stack.ports import free_block
from stack.services import ports
from stack.settings import ROOT, Settings, read_settings
from stack.testing import INNER_PORTS
from tests.edge.upstream import Upstream, main_upstream, promos_upstream

START_SECONDS = 10.0
STOP_SECONDS = 5.0
KEYS_KNOWN = re.compile(r"jwt_authn_jwks_fetch_success\{.*\} [1-9]")

Node = dict[str, Any]


def committed() -> Node:
    """Returns the configuration as committed."""
    config: Node = yaml.safe_load((ROOT / "edge" / "envoy.yaml").read_text())
    return config


def nodes_with(node: object, key: str) -> Iterator[Node]:
    """Every mapping below `node` that has this key."""
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from nodes_with(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from nodes_with(value, key)


def limits(config: Node) -> dict[str, Node]:
    """Returns the token bucket of each role, to be changed; `nobody` is that of callers without a token."""
    (limiter,) = nodes_with(config, "descriptors")
    return {found["entries"][0]["value"]: found["token_bucket"] for found in limiter["descriptors"]}


@dataclass(frozen=True)
class Edge:
    """A running Envoy and what stands behind it."""

    settings: Settings
    main: Upstream
    promos: Upstream
    log: Path
    http: httpx.AsyncClient

    @property
    def target(self) -> str:
        """The gRPC target of the public listener."""
        return f"127.0.0.1:{self.settings.edge_port}"

    @property
    def ops(self) -> str:
        """The address of the ops listener."""
        return f"http://127.0.0.1:{self.settings.ops_port}"

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Another client, calling from this address of the loopback network."""
        transport = httpx.AsyncHTTPTransport(local_address=address)
        return httpx.AsyncClient(base_url=f"http://{self.target}", transport=transport)

    async def log_entry(self, request_id: str) -> Node:
        """Returns the access log's line about a request."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and (entry := json.loads(line))["request_id"] == request_id:
                    found: Node = entry
                    return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"the access log has no line about {request_id}")


@asynccontextmanager
async def running(
    folder: Path, change: Callable[[Node, Settings], None], *, processes: int = 1
) -> AsyncIterator[Edge]:
    """An Envoy that is ready, in front of made-up services. `change` adapts the configuration to the test.

    Each service has so many `processes`: ports of one server.
    """
    first = free_block(INNER_PORTS)
    settings = read_settings(
        edge_port=first + INNER_PORTS - 1,
        ops_port=first + INNER_PORTS - 2,
        base_port=first,
        processes=processes,
        envoy_concurrency=1,
        log_level="warning",
    )
    config = envoy.render(committed(), settings)
    # Faster than in life, so that a run takes seconds.
    (keys,) = nodes_with(config, "async_fetch")
    keys["async_fetch"]["failed_refetch_duration"] = "0.05s"
    change(config, settings)
    path, log = folder / "envoy.yaml", folder / "envoy.log"
    path.write_text(yaml.safe_dump(config))

    service_ports = ports(settings)
    main = main_upstream([*service_ports["identity"], *service_ports["points"], *service_ports["vouchers"]])
    promos = promos_upstream(service_ports["promos"])
    command = envoy.command(settings, path, log_flush_ms=20)
    async with AsyncExitStack() as stack:
        for upstream in (main, promos):
            await upstream.start()
            stack.push_async_callback(upstream.stop)
        process = await stack.enter_async_context(_process(command, log))
        http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.edge_port}")
        edge = Edge(settings, main, promos, log, await stack.enter_async_context(http))
        await _wait_ready(edge, process)
        yield edge


@asynccontextmanager
async def _process(command: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_ready(edge: Edge, process: asyncio.subprocess.Process) -> None:
    """Waits until Envoy serves and knows the public keys."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.returncode is None:
        try:
            metrics = (await edge.http.get(f"{edge.ops}/metrics")).text
        except httpx.TransportError:
            metrics = ""
        if KEYS_KNOWN.search(metrics) and (await edge.http.get("/healthz")).is_success:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"Envoy is not ready:{os.linesep}{edge.log.read_text()}")
