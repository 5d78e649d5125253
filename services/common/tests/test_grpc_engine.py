"""gRPC's way of polling sockets: chosen before it is imported, and known to the version that is installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    """Imports a service's package and gRPC in a process of its own; returns what it printed."""
    code = "import os, services, grpc; print(os.environ['GRPC_EXPERIMENTS'])"
    kept = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True
    )


def test_services_choose_it_and_grpc_knows_the_choice() -> None:
    found = started()
    assert found.stdout == "-event_engine_listener,-event_engine_client\n"
    assert "Unknown experiment" not in found.stderr


def test_an_unknown_choice_would_be_told() -> None:
    assert "Unknown experiment" in started(GRPC_EXPERIMENTS="-no_such_thing").stderr


@pytest.mark.parametrize("given", ["", "event_engine_listener"])
def test_who_runs_it_may_choose_otherwise(given: str) -> None:
    assert started(GRPC_EXPERIMENTS=given).stdout == f"{given}\n"
