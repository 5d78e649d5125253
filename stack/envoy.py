"""The edge's configuration for this machine: the committed file with ports, addresses and origins put in."""

import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stack import binaries
from stack.errors import StackError
from stack.process import Program, StopSteps
from stack.services import SERVICES, ports
from stack.settings import ROOT, Settings

PUBLIC_PORT, OPS_PORT = 8080, 8081
LOOPBACK = "127.0.0.1"
LOCAL_NAMES = (LOOPBACK, "localhost", "::1")
DESCRIPTORS = ROOT / "build" / "api.binpb"
DOCS = ROOT / "build" / "docs"
# Requests in flight were given their time while draining.
STOP_STEPS: StopSteps = ((signal.SIGTERM, 0.4), (signal.SIGKILL, 0.2))

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:([0-9]+|\*))?")

Node = dict[str, Any]


def render(config: Node, settings: Settings) -> Node:
    """Returns the configuration for this machine.

    Listeners keep their order: the one on 8080 becomes the edge, the one on 8081 the ops listener, others
    get inner ports on loopback, as does the admin interface; clusters that point at any of those follow.
    A cluster whose endpoint is named after a service gets one endpoint for each process of the service.
    """
    # Shared nodes (YAML anchors) become copies, so that each is changed once.
    rendered: Node = json.loads(json.dumps(config))
    moved = _move_listeners(rendered, settings)
    service_ports = ports(settings)
    for cluster in _list(rendered, "static_resources", "clusters"):
        for group in _list(cluster, "load_assignment", "endpoints"):
            group["lb_endpoints"] = [
                endpoint
                for found in group["lb_endpoints"]
                for endpoint in _replace_endpoint(found, cluster, service_ports, moved)
            ]
    for transcoder in _with_key(rendered, "proto_descriptor"):
        transcoder["proto_descriptor"] = str(DESCRIPTORS)
    for file in _with_key(rendered, "filename"):
        file["filename"] = str(DOCS / Path(file["filename"]).name)
    for policy in _with_key(rendered, "allow_origin_string_match"):
        policy["allow_origin_string_match"] = allowed_origins(settings.cors_origins)
    return rendered


def allowed_origins(origins: str) -> list[Node]:
    """Returns Envoy's matchers for origins with commas between them, as edge/start.sh makes them.

    Raises StackError for what is no origin.
    """
    matchers = []
    for origin in filter(None, re.split(r"[, ]+", origins)):
        if not _ORIGIN.fullmatch(origin):
            raise StackError(f"{origin} is not an origin, such as https://desk.example")
        pattern = origin.replace(".", r"\.").replace(":*", ":[0-9]+")
        matchers.append({"safe_regex": {"regex": pattern}})
    return matchers


def _move_listeners(rendered: Node, settings: Settings) -> dict[int, int]:
    """Give the admin interface and each listener its address here; returns the new port of each old one."""
    moved = {}
    inner = 0
    for listener in _list(rendered, "static_resources", "listeners"):
        address = listener["address"]["socket_address"]
        old = address["port_value"]
        if old == PUBLIC_PORT:
            address |= {"address": settings.host, "port_value": settings.edge_port}
        elif old == OPS_PORT:
            address |= {"address": LOOPBACK, "port_value": settings.ops_port}
        else:
            address |= {"address": LOOPBACK, "port_value": settings.inner_listener_port(inner)}
            inner += 1
        moved[old] = address["port_value"]
    if not {PUBLIC_PORT, OPS_PORT} <= moved.keys():
        raise StackError(f"{settings.edge_config} must have listeners on ports {PUBLIC_PORT} and {OPS_PORT}")
    admin = rendered.setdefault("admin", {})
    address = admin.setdefault("address", {}).setdefault("socket_address", {})
    if "port_value" in address:
        moved[address["port_value"]] = settings.envoy_admin_port
    address |= {"address": LOOPBACK, "port_value": settings.envoy_admin_port}
    if "allow_paths" in admin:
        # For a stop that lets requests in flight finish.
        admin["allow_paths"] += [{"prefix": "/drain_listeners"}, {"prefix": "/stats"}]
    return moved


def _replace_endpoint(
    found: Node, cluster: Node, service_ports: dict[str, list[int]], moved: dict[int, int]
) -> list[Node]:
    address = found["endpoint"]["address"].get("socket_address", {})
    if address.get("address") in SERVICES:
        cluster["type"] = "STATIC"
        for key in ("dns_lookup_family", "dns_refresh_rate", "respect_dns_ttl", "dns_failure_refresh_rate"):
            cluster.pop(key, None)
        return [_at(found, port) for port in service_ports[address["address"]]]
    if address.get("address") in LOCAL_NAMES and address.get("port_value") in moved:
        return [_at(found, moved[address["port_value"]])]
    return [found]


def _at(endpoint: Node, port: int) -> Node:
    copy: Node = json.loads(json.dumps(endpoint))
    copy["endpoint"]["address"]["socket_address"] |= {"address": LOOPBACK, "port_value": port}
    return copy


def _list(node: Node, *keys: str) -> list[Node]:
    for key in keys[:-1]:
        node = node.get(key, {})
    found: list[Node] = node.get(keys[-1], [])
    return found


def _with_key(node: object, key: str) -> Iterator[Node]:
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from _with_key(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _with_key(value, key)


def inner_ports(settings: Settings) -> list[int]:
    """Returns the ports of the listeners that serve only Envoy itself."""
    listeners = _list(_read_config(settings), "static_resources", "listeners")
    found = {listener["address"]["socket_address"]["port_value"] for listener in listeners}
    return [settings.inner_listener_port(index) for index in range(len(found - {PUBLIC_PORT, OPS_PORT}))]


def write_config(settings: Settings, path: Path) -> None:
    """Render the committed configuration into `path`. Raises StackError when something for it is missing."""
    for needed in (DESCRIPTORS, DOCS / "index.html"):
        if not needed.is_file():
            raise StackError(f"{needed} is missing: run `make proto`")
    path.write_text(yaml.safe_dump(render(_read_config(settings), settings), sort_keys=False))


def _read_config(settings: Settings) -> Node:
    source = ROOT / settings.edge_config
    if not source.is_file():
        raise StackError(f"{source} is missing")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    config: Node = yaml.load(source.read_text(), loader)  # noqa: S506  (both are safe loaders)
    return config


LOG_FLUSH_MS = 500


def command(settings: Settings, config: Path, *, log_flush_ms: int = LOG_FLUSH_MS) -> list[str]:
    """Envoy's command line. It keeps lines of its access log to itself for `log_flush_ms`."""
    level = "info" if settings.log_level == "debug" else "warning"
    options = [
        "--concurrency",
        str(settings.envoy_concurrency),
        "--disable-hot-restart",
        "--file-flush-interval-msec",
        str(log_flush_ms),
        "--log-level",
        level,
    ]
    return [str(binaries.envoy()), "-c", str(config), *options]


def program(settings: Settings, config: Path, environment: dict[str, str]) -> Program:
    """Envoy as a supervised program. Its access log, a line for each call, is left to the file."""
    return Program("envoy", command(settings, config), environment, ROOT, STOP_STEPS, shows=_is_no_access_log)


def _is_no_access_log(line: bytes) -> bool:
    return not line.startswith(b"{")


def validate(settings: Settings) -> str:
    """Let Envoy check the rendered configuration. Raises StackError with its words when it is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "envoy.yaml"
        write_config(settings, path)
        arguments = [*command(settings, path), "--mode", "validate"]
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise StackError(f"{settings.edge_config} is not valid:\n{(result.stdout + result.stderr).strip()}")
    return f"{settings.edge_config} is valid"
