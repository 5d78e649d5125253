"""What operators see, and what nobody else does."""

from __future__ import annotations

import httpx
import pytest

from stack.settings import Settings
from tests.edge.edge import Edge


def _admin(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.envoy_admin_port}"


def _jwks(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.inner_listener_port(0)}"


@pytest.mark.covers("E9")
async def test_operators_see_metrics_and_readiness(edge: Edge) -> None:
    metrics = await edge.http.get(f"{edge.ops}/metrics")
    assert metrics.status_code == 200
    for name in ("identity", "points", "vouchers", "promos"):
        assert f'envoy_cluster_membership_healthy{{envoy_cluster_name="{name}"}} 1' in metrics.text
    assert "envoy_http_local_rate_limit_rate_limited{" in metrics.text
    ready = await edge.http.get(f"{edge.ops}/ready")
    assert (ready.status_code, ready.text.strip()) == (200, "LIVE")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/stats"),
        ("GET", "/config_dump"),
        ("GET", "/clusters"),
        ("GET", "/metrics/../config_dump"),
        ("POST", "/metrics"),
        ("POST", "/quitquitquit"),
        ("GET", "/v1/members/me"),
    ],
)
async def test_the_ops_listener_shows_nothing_else(edge: Edge, method: str, path: str) -> None:
    assert (await edge.http.request(method, httpx.URL(edge.ops, raw_path=path.encode()))).status_code == 404


@pytest.mark.parametrize("path", ["/quitquitquit", "/logging", "/runtime_modify", "/healthcheck/fail"])
async def test_the_admin_interface_changes_nothing(edge: Edge, path: str) -> None:
    assert (await edge.http.post(_admin(edge.settings) + path)).status_code == 403


async def test_the_key_listener_serves_keys_and_nothing_else(edge: Edge) -> None:
    listener = _jwks(edge.settings)
    keys = await edge.http.get(f"{listener}/.well-known/jwks.json")
    assert keys.json()["keys"]
    assert (await edge.http.post(f"{listener}/v1/otps", json={"phone": "1"})).status_code == 404
    assert (await edge.http.get(f"{listener}/v1/members/me")).status_code == 404


async def test_load_balancers_see_health(edge: Edge) -> None:
    answer = await edge.http.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
    assert not [name for name in answer.headers if name.startswith("x-envoy-")]
