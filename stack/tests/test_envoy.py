"""The edge's configuration on this machine."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import envoy
from stack.errors import StackError
from stack.settings import ROOT, Settings

COMMITTED = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}, allow_paths: [{exact: /ready}]}
static_resources:
  listeners:
    - {name: public, address: {socket_address: {address: 0.0.0.0, port_value: 8080}}, filter_chains: [&chain {
        transcoder: {proto_descriptor: /etc/envoy/api.binpb}}]}
    - {name: jwks, address: {socket_address: {address: 127.0.0.1, port_value: 9902}}, filter_chains: [*chain]}
    - {name: ops, address: {socket_address: {address: 0.0.0.0, port_value: 8081}}}
  clusters:
    - name: points
      type: STRICT_DNS
      dns_lookup_family: V4_ONLY
      load_assignment: {endpoints: [{lb_endpoints: [
        {load_balancing_weight: 1,
         endpoint: {address: {socket_address: {address: points, port_value: 50051}}}}]}]}
    - name: own_admin
      load_assignment: {endpoints: [{lb_endpoints: [
        {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}}]}]}
    - name: own_jwks
      load_assignment: {endpoints: [{lb_endpoints: [
        {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9902}}}}]}]}
    - name: collector
      type: STRICT_DNS
      load_assignment: {endpoints: [{lb_endpoints: [
        {endpoint: {address: {socket_address: {address: otel, port_value: 4317}}}}]}]}
"""


def render(**settings: Any) -> dict[str, Any]:
    return envoy.render(yaml.safe_load(COMMITTED), Settings(**settings))


def addresses(cluster: dict[str, Any]) -> list[tuple[str, int]]:
    found = [endpoint["endpoint"]["address"]["socket_address"] for endpoint in endpoints(cluster)]
    return [(address["address"], address["port_value"]) for address in found]


def endpoints(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        endpoint for group in cluster["load_assignment"]["endpoints"] for endpoint in group["lb_endpoints"]
    ]


def test_listeners_take_the_ports_of_the_settings() -> None:
    rendered = render(host="0.0.0.0", edge_port=9000, ops_port=9001, base_port=7200)
    found = {
        listener["name"]: (
            listener["address"]["socket_address"]["address"],
            listener["address"]["socket_address"]["port_value"],
        )
        for listener in rendered["static_resources"]["listeners"]
    }
    assert found == {"public": ("0.0.0.0", 9000), "jwks": ("127.0.0.1", 7203), "ops": ("127.0.0.1", 9001)}


def test_cluster_of_a_service_gets_an_endpoint_for_each_process() -> None:
    points = render(base_port=7200, processes=3)["static_resources"]["clusters"][0]
    assert points["type"] == "STATIC"
    assert "dns_lookup_family" not in points
    assert addresses(points) == [("127.0.0.1", 7220), ("127.0.0.1", 7221), ("127.0.0.1", 7222)]
    assert all(endpoint["load_balancing_weight"] == 1 for endpoint in endpoints(points))


def test_clusters_on_envoys_own_ports_follow_and_strangers_stay() -> None:
    _, admin, jwks, collector = render(base_port=7200)["static_resources"]["clusters"]
    assert addresses(admin) == [("127.0.0.1", 7202)]
    assert addresses(jwks) == [("127.0.0.1", 7203)]
    assert addresses(collector) == [("otel", 4317)]
    assert collector["type"] == "STRICT_DNS"


def test_admin_stays_on_loopback_and_may_drain() -> None:
    admin = render(host="0.0.0.0", base_port=7200)["admin"]
    assert admin["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 7202}
    assert {"prefix": "/drain_listeners"} in admin["allow_paths"]
    assert {"exact": "/ready"} in admin["allow_paths"]


def test_the_access_log_is_left_to_the_file(tmp_path: Path) -> None:
    shows = envoy.program(Settings(), tmp_path / "envoy.yaml", {}).shows
    assert shows is not None
    assert not shows(b'{"time": "2026-11-30T12:00:00Z", "path": "/v1/members/me"}\n')
    assert shows(b"[2026-11-30 12:00:00][1][warning] something\n")


def test_descriptors_are_found_from_any_folder() -> None:
    for listener in render()["static_resources"]["listeners"][:2]:
        path = listener["filter_chains"][0]["transcoder"]["proto_descriptor"]
        assert path == str(ROOT / "build" / "api.binpb")


def test_configuration_without_the_public_listener_is_refused() -> None:
    with pytest.raises(StackError, match="must have listeners on ports 8080 and 8081"):
        envoy.render({"static_resources": {"listeners": []}}, Settings())


def test_committed_configuration_passes_envoys_check() -> None:
    assert envoy.validate(Settings(processes=2)) == "edge/envoy.yaml is valid"
