"""How the edge's container starts: with the origins that are set, and not at all with wrong ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import envoy
from stack.errors import StackError
from stack.settings import ROOT, Settings
from tests.edge.edge import committed, nodes_with

COMMITTED = ROOT / "edge" / "envoy.yaml"


def _start(folder: Path, origins: str, config: Path = COMMITTED) -> subprocess.CompletedProcess[str]:
    """Runs start.sh with an Envoy that does nothing."""
    program = folder / "envoy"
    program.write_text('#!/bin/sh\necho "started with $2"\n')
    program.chmod(0o755)
    return subprocess.run(
        ["bash", str(ROOT / "edge" / "start.sh"), str(config)],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TMPDIR": str(folder),
            "SCRIP_CORS_ORIGINS": origins,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _allowed(config: Any) -> Any:
    (policy,) = nodes_with(config, "allow_origin_string_match")
    return policy["allow_origin_string_match"]


@pytest.mark.covers("E1")
@pytest.mark.parametrize(
    ("origins", "patterns"),
    [
        ("", []),
        ("https://desk.example", [r"https://desk\.example"]),
        (
            "https://desk.example, http://localhost:*,http://127.0.0.1:5173",
            [r"https://desk\.example", "http://localhost:[0-9]+", r"http://127\.0\.0\.1:5173"],
        ),
    ],
)
def test_the_origins_that_are_set_are_allowed_and_no_others(
    tmp_path: Path, origins: str, patterns: list[str]
) -> None:
    run = _start(tmp_path, origins)
    assert run.returncode == 0, run.stderr
    started = tmp_path / "envoy.yaml"
    assert run.stdout == f"started with {started}\n"
    config = yaml.safe_load(started.read_text())
    assert _allowed(config) == [{"safe_regex": {"regex": pattern}} for pattern in patterns]
    # `make up` puts in the same, and nothing else is changed.
    assert _allowed(config) == envoy.allowed_origins(origins)
    (policy,) = nodes_with(config, "allow_origin_string_match")
    policy["allow_origin_string_match"] = []
    assert config == committed()


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example", "desk.example", "https://desk.example/", "https://a'b", "null"]
)
def test_what_is_no_origin_stops_the_start(tmp_path: Path, origins: str) -> None:
    run = _start(tmp_path, origins)
    assert run.returncode == 1
    assert "SCRIP_CORS_ORIGINS" in run.stderr
    assert origins in run.stderr
    with pytest.raises(StackError, match="is not an origin"):
        envoy.allowed_origins(origins)


def test_a_configuration_without_a_place_for_origins_stops_the_start(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("static_resources: {}\n")
    assert _start(tmp_path, "", other).returncode == 1


def test_pages_of_this_machine_may_call_what_make_up_started() -> None:
    rendered = envoy.render(committed(), Settings())
    assert _allowed(rendered) == envoy.allowed_origins("http://localhost:*,http://127.0.0.1:*")
    assert _allowed(envoy.render(committed(), Settings(cors_origins=""))) == []
