"""Writes the list of public services into `edge/envoy.yaml`, so that REST reaches each of them.

Run as `make proto && .venv/bin/python -m tools.edge` after a proto service was added; a test compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "edge" / "envoy.yaml"
DESCRIPTORS = ROOT / "build" / "api.binpb"

_LIST = re.compile(r"^( +)services:\n(?:\1  - scrip\.[\w.]+\n)+", re.MULTILINE)


def public_services() -> list[str]:
    """Returns the full names of the services that outsiders may call."""
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return sorted(
        f"{file.package}.{service.name}"
        for file in described.file
        if file.package.startswith("scrip.") and ".internal." not in file.package
        for service in file.service
    )


def with_services(config: str, services: list[str]) -> str:
    """Returns the configuration with this list in place of its own."""
    return _LIST.sub(
        lambda found: f"{found[1]}services:\n" + "".join(f"{found[1]}  - {name}\n" for name in services),
        config,
    )


if __name__ == "__main__":
    CONFIG.write_text(with_services(CONFIG.read_text(), public_services()))
