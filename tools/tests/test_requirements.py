"""The locks in requirements/ against pyproject.toml."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?: ; .*)?$")


def text(lock: str) -> str:
    return (ROOT / "requirements" / lock).read_text()


def entries(lock: str) -> list[tuple[str, str]]:
    """Returns each pin with its hashes; the pin includes its marker."""
    blocks = re.split(r"\n(?=\S)", text(lock).strip())
    pairs = [block.replace(" \\\n", "\n").partition("\n") for block in blocks]
    return [(pin, hashes) for pin, _, hashes in pairs]


def pins(lock: str) -> dict[str, Version]:
    matches = [PIN.match(pin) for pin, _ in entries(lock)]
    return {match["name"]: Version(match["version"]) for match in matches if match}


def unmet(requirements: list[str], pinned: dict[str, Version]) -> list[str]:
    parsed = [Requirement(requirement) for requirement in requirements]
    return [str(it) for it in parsed if it.name not in pinned or pinned[it.name] not in it.specifier]


def test_every_dependency_is_locked_within_its_range() -> None:
    extras = PROJECT["optional-dependencies"].values()
    assert unmet(PROJECT["dependencies"], pins("runtime.txt")) == []
    assert unmet(PROJECT["dependencies"] + [it for extra in extras for it in extra], pins("dev.txt")) == []


def test_what_is_tested_is_what_is_shipped() -> None:
    assert set(entries("runtime.txt")) <= set(entries("proto.txt")) <= set(entries("dev.txt"))


def test_every_line_is_a_pin_with_hashes_and_no_address() -> None:
    for lock in ("pip.txt", "dev.txt", "proto.txt", "runtime.txt"):
        assert "://" not in text(lock)
        for pin, hashes in entries(lock):
            assert PIN.match(pin), pin
            assert re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64}\n?)+", hashes), pin
