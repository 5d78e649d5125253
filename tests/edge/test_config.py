"""The committed configuration agrees with the protos and with itself."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, json_format
from google.rpc import status_pb2
from scrip.common.v1 import error_reason_pb2, permission_pb2

from stack import binaries
from stack.envoy import DESCRIPTORS, DOCS
from stack.settings import ROOT
from tests.edge.edge import Node, committed, limits, nodes_with

CONFIG = committed()
GRPC_DETAILS = "grpc-status-details-bin"
# gRPC has a code of its own for a method that does not exist.
OVER_GRPC = {"ROUTE_NOT_FOUND": 12}


def _services() -> Iterator[tuple[str, descriptor_pb2.ServiceDescriptorProto]]:
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    for file in described.file:
        if file.package.startswith("scrip.") and ".internal." not in file.package:
            yield from ((f"{file.package}.{service.name}", service) for service in file.service)


def _listener(name: str) -> Node:
    (found,) = [each for each in CONFIG["static_resources"]["listeners"] if each["name"] == name]
    (manager,) = nodes_with(found, "route_config")
    return manager


def _routes() -> list[Node]:
    """The routes to services: those that the edge serves by itself have none."""
    (host,) = _listener("public")["route_config"]["virtual_hosts"]
    return [route for route in host["routes"] if "route" in route]


def _mappers() -> list[Node]:
    mappers: list[Node] = _listener("public")["local_reply_config"]["mappers"]
    return mappers


def _json_refusals() -> dict[str, Any]:
    formats = (mapper.get("body_format_override", {}).get("json_format") for mapper in _mappers())
    return {found["details"][0]["reason"]: found for found in formats if found}


def test_envoy_takes_the_file_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "envoy.yaml"
    path.write_text(
        (ROOT / "edge" / "envoy.yaml")
        .read_text()
        .replace("/etc/envoy/api.binpb", str(DESCRIPTORS))
        .replace("/etc/envoy/docs", str(DOCS))
    )
    command = [str(binaries.envoy()), "--mode", "validate", "--log-level", "warning", "-c", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    assert "deprecated" not in run.stderr.lower()


@pytest.mark.covers("E1")
def test_every_public_service_is_transcoded_and_no_other() -> None:
    (transcoder,) = nodes_with(_listener("public"), "proto_descriptor")
    assert transcoder["services"] == sorted(name for name, _ in _services())


def test_every_public_package_has_a_route_and_no_other() -> None:
    packages = {name.rpartition(".")[0] for name, _ in _services()}
    prefixes = [route for route in _routes() if "prefix" in route["match"]]
    routed = {route["match"]["prefix"]: route["route"]["cluster"] for route in prefixes}
    assert routed.pop("/") == "nowhere"
    assert routed == {f"/{package}.": package.split(".")[1] for package in packages}
    clusters = {cluster["name"] for cluster in CONFIG["static_resources"]["clusters"]}
    assert {route["route"]["cluster"] for route in _routes()} - {"nowhere"} <= clusters
    assert "nowhere" not in clusters


def test_every_stream_has_a_route_without_the_time_limit_of_calls() -> None:
    streams = {
        f"/{name}/{method.name}"
        for name, service in _services()
        for method in service.method
        if method.client_streaming or method.server_streaming
    }
    exact = {
        route["match"]["path"]: route["route"]
        for route in _routes()
        if "path" in route["match"] and "response_headers_to_add" not in route
    }
    (url,) = exact.keys() - streams
    assert url == "/v1/purchases:batch", "the one URL that is written here"
    assert exact.pop(url)["cluster"] == "nowhere"
    exports = {path for path in streams if _cluster_of_export(path)}
    assert exact.keys() == streams - exports
    assert all(_is_for_streams(route) for route in exact.values())


def test_calls_without_a_login_alone_may_be_kept_by_caches() -> None:
    kept = [route for route in _routes() if "response_headers_to_add" in route]
    unary = {
        f"/{name}/{method.name}": method.options.Extensions[permission_pb2.permission].anyone
        for name, service in _services()
        for method in service.method
        if not method.server_streaming
    }
    assert kept
    for route in kept:
        assert unary[route["match"]["path"]]
        assert route["route"]["timeout"] == "10s"
        headers = {one["header"]["key"]: one["header"]["value"] for one in route["response_headers_to_add"]}
        assert headers["cache-control"].startswith("public, max-age=")
        assert headers["vary"] == "origin"


def test_an_export_has_the_route_of_a_stream_by_its_name() -> None:
    packages = {name.rpartition(".")[0] for name, _ in _services()}
    for package in packages:
        assert _cluster_of_export(f"/{package}.SomeService/ExportThings") == package.split(".")[1]
        for other in (
            "SomeService/ListThings",
            "SomeService/ReExport",
            "Some.Export/Get",
            "internal.v1.X/ExportY",
        ):
            assert _cluster_of_export(f"/{package}.{other}") is None
    streams = [route["route"] for route in _routes() if "safe_regex" in route["match"]]
    assert all(_is_for_streams(route) for route in streams if route["cluster"] != "nowhere")
    kinds = [next(iter(route["match"])) for route in _routes()]
    assert kinds.index("prefix") > kinds.index("safe_regex"), "the first that matches is taken"


def test_what_is_called_an_export_is_a_stream() -> None:
    for name, service in _services():
        for method in service.method:
            if method.name.startswith("Export"):
                assert method.server_streaming, f"{name}.{method.name}"
                assert method.output_type == ".google.api.HttpBody", f"{name}.{method.name}"


def _cluster_of_export(path: str) -> str | None:
    """Returns the cluster to which the routes of exports send this path."""
    for route in _routes():
        if "safe_regex" in route["match"] and re.fullmatch(route["match"]["safe_regex"]["regex"], path):
            return str(route["route"]["cluster"])
    return None


def _is_for_streams(route: Node) -> bool:
    return route["timeout"] == "0s" and "idle_timeout" in route and route["priority"] == "HIGH"


def test_every_role_has_a_limit() -> None:
    roles = {name.removeprefix("ROLE_").lower() for name in permission_pb2.Role.DESCRIPTOR.values_by_name} - {
        "unspecified"
    }
    assert limits(CONFIG).keys() == roles | {"nobody"}


def test_every_reason_is_documented_with_its_code() -> None:
    reasons = error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    for reason, body in _json_refusals().items():
        value = reasons[f"ERROR_REASON_{reason}"]
        assert body["code"] == value.GetOptions().Extensions[error_reason_pb2.status_code], reason


def test_refusals_over_grpc_say_the_same_as_in_json() -> None:
    json_refusals = _json_refusals()
    seen = set()
    for mapper in _mappers():
        added = [found["header"] for found in mapper.get("headers_to_add", ())]
        raw = next((header["value"] for header in added if header["key"] == GRPC_DETAILS), None)
        if raw is None:
            continue
        status = status_pb2.Status.FromString(base64.b64decode(raw + "=" * (-len(raw) % 4)))
        said = json_format.MessageToDict(status, preserving_proto_field_name=True)
        reason = said["details"][0]["reason"]
        expected = json_refusals[reason]
        assert said.pop("code") == OVER_GRPC.get(reason, expected["code"])
        said["details"][0].setdefault("metadata", {})
        assert said == {key: expected[key] for key in ("message", "details")}
        assert status.message == mapper["body_format_override"]["text_format_source"]["inline_string"]
        seen.add(reason)
    assert seen == {
        "TOO_MANY_REQUESTS",
        "ROUTE_NOT_FOUND",
        "DEPENDENCY_UNAVAILABLE",
        "HEADERS_TOO_LARGE",
    }


def test_the_admin_interface_is_on_loopback_and_only_looks() -> None:
    admin = CONFIG["admin"]
    assert admin["address"]["socket_address"]["address"] == "127.0.0.1"
    allowed = [path for entry in admin["allow_paths"] for path in entry.values()]
    assert set(allowed) == {"/ready", "/clusters", "/server_info", "/stats"}


def test_only_what_outsiders_need_listens_to_them() -> None:
    open_to_all = {
        found["name"]: found["address"]["socket_address"]["port_value"]
        for found in CONFIG["static_resources"]["listeners"]
        if found["address"]["socket_address"]["address"] != "127.0.0.1"
    }
    assert open_to_all == {"public": 8080, "ops": 8081}


def test_no_page_of_another_origin_may_call_unless_it_is_set() -> None:
    (policy,) = nodes_with(CONFIG, "allow_origin_string_match")
    assert policy["allow_origin_string_match"] == []


def test_nothing_but_health_checks_puts_a_process_aside() -> None:
    found = list(nodes_with(CONFIG, "outlier_detection"))
    assert len(found) == 4
    enforced = (
        "consecutive_5xx",
        "consecutive_local_origin_failure",
        "success_rate",
        "local_origin_success_rate",
    )
    for cluster in found:
        rules = cluster["outlier_detection"]
        # These are enforced unless told otherwise, the others when told so.
        assert {name: share for name, share in rules.items() if name.startswith("enforcing_")} == {
            f"enforcing_{name}": 0 for name in enforced
        }
        assert cluster["health_checks"]


def test_only_what_never_reached_a_service_is_sent_again() -> None:
    policies = [found["retry_policy"] for found in nodes_with(CONFIG, "retry_policy")]
    assert [policy["retry_on"] for policy in policies] == ["connect-failure,refused-stream"]
