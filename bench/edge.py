"""The edge as committed, but with limits that a benchmark does not reach; and a second one of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stack import envoy
from stack.settings import ROOT, Settings

UNREACHED = 1_000_000
"""Requests a second that every caller may make. The buckets are still kept and asked."""


def write_generous(path: Path) -> None:
    """Writes the committed configuration with its rate limits raised, and nothing else changed."""
    config = yaml.safe_load((ROOT / "edge" / "envoy.yaml").read_text())
    for bucket in _with_key(config, "tokens_per_fill"):
        bucket |= {"max_tokens": UNREACHED, "tokens_per_fill": UNREACHED}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def write_second(settings: Settings, source: Path, ports: Mapping[str, int], path: Path) -> None:
    """Writes the same configuration for another Envoy; `ports` says where each service of its world is."""
    config = envoy.render(yaml.safe_load(source.read_text()), settings)
    for cluster in config["static_resources"]["clusters"]:
        if cluster["name"] in ports:
            for address in _with_key(cluster["load_assignment"], "port_value"):
                address["port_value"] = ports[cluster["name"]]
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def _with_key(node: object, key: str) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from _with_key(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _with_key(value, key)
