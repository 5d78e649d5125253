"""The whole stack: ready, restarted, stopped, killed, started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.health import wait_until_serving
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack, start_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with running_stack() as stack:
        yield stack


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.status)


def left_over(data: Path) -> list[str]:
    """Returns processes with this data folder in their command line, environment or working directory."""
    found = []
    mark = os.fsencode(data)
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        try:
            places = [(path / "cmdline").read_bytes(), (path / "environ").read_bytes()]
            places.append(os.fsencode((path / "cwd").readlink()))
        except OSError:
            continue
        if any(mark in place for place in places):
            found.append(f"{path.name} {places[0].decode(errors='replace')}")
    return found


def until_none_left(data: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while left := left_over(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_edge_answers_once_the_endpoints_are_written(stack: RunningStack) -> None:
    assert get(f"{stack.endpoints.edge_url}/.well-known/jwks.json") == 200
    assert get(f"{stack.endpoints.ops_url}/ready") == 200
    assert stack.folder.endpoints.stat().st_mode & 0o777 == 0o600


async def test_killed_service_is_started_again_and_healthy(stack: RunningStack) -> None:
    old = stack.kill("points")
    stack.wait_restarted("points", old)
    target = stack.endpoints.grpc["points"].removeprefix("ipv4:")
    assert await wait_until_serving({"points": target}, 30) == {}


async def test_services_find_their_stores_again_after_those_were_killed(stack: RunningStack) -> None:
    for name in ("postgres", "redis"):
        stack.wait_restarted(name, stack.kill(name))
    # Longer than it takes them to notice.
    await asyncio.sleep(2)
    targets = {name: target.removeprefix("ipv4:") for name, target in stack.endpoints.grpc.items()}
    assert await wait_until_serving(targets, 30) == {}


def test_status_lists_every_process(stack: RunningStack) -> None:
    words = command("status", "--data", str(stack.folder.path)).stdout
    table, _, _ = words.partition("\ntogether ")
    names = {line.split()[0] for line in table.splitlines()}
    workers = set(stack.endpoints.workers.values())
    assert {
        "stack",
        "postgres",
        "redis",
        "envoy",
        "identity",
        "points",
        "vouchers",
        "promos",
    } | workers <= names
    assert stack.endpoints.edge_url in words
    assert f"{stack.endpoints.admin_user_name} / {stack.endpoints.admin_password}" in words


def test_status_of_nothing_is_an_error(tmp_path: Path) -> None:
    result = command("status", "--data", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"stack: nothing runs on {tmp_path}\n"


@pytest.mark.parametrize("wanted", ["up", "reset"])
def test_folder_in_use_is_told(stack: RunningStack, wanted: str) -> None:
    result = command(wanted, "--data", str(stack.folder.path))
    assert result.returncode == 1
    assert f"in use by process {stack.supervisor.pid}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("up", "--data", str(tmp_path), "--edge-port", str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"stack: port {port} on 127.0.0.1 is taken, but the edge needs it:"
        " choose another with SCRIP_STACK_EDGE_PORT\n"
    )
    assert not (tmp_path / "postgres").exists()


def test_killed_supervisor_or_hanging_service_leave_no_process_and_state_survives(tmp_path: Path) -> None:
    data = tmp_path / ("deep-" * 20)
    first = start_stack(data)
    with psycopg.connect(first.endpoints.databases["points"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    noted = first.folder.processes()
    assert {"postgres", "redis", "envoy", "points", "promos-worker"} <= noted.keys()
    first.supervisor.kill()
    first.supervisor.wait()
    until_none_left(data, 10)
    assert not [name for name, process in noted.items() if process.alive()]

    second = start_stack(data)
    assert second.endpoints.admin_password == first.endpoints.admin_password
    with psycopg.connect(second.endpoints.databases_tcp["points"]) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    hanging = second.pid("vouchers")
    assert hanging
    os.kill(hanging, signal.SIGSTOP)
    noted = second.folder.processes()
    began = time.monotonic()
    second.supervisor.send_signal(signal.SIGTERM)
    assert second.supervisor.wait(15) == 0
    assert time.monotonic() - began < 10
    assert left_over(data) == []
    assert not [name for name, process in noted.items() if process.alive()]
    assert not second.folder.endpoints.exists()

    assert command("reset", "--data", str(data)).returncode == 0
    assert not data.exists()


def test_service_that_cannot_start_ends_the_start_with_its_words(tmp_path: Path) -> None:
    # Whichever of its processes has died often enough first.
    with pytest.raises(Exception, match=r"stack: points(-worker)? does not start"):
        start_stack(tmp_path, env_points={"SCRIP_DATABASE_URL": "", "SCRIP_DATABASE_POOL_SIZE": "many"})
    until_none_left(tmp_path, 10)


def test_operators_commands_work_beside_a_stack_and_on_its_data_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    nothing = command("check-books", "--data", str(data))
    assert (nothing.returncode, nothing.stderr) == (
        1,
        f"stack: there are no data in {data}: `make up` makes them\n",
    )
    stack = start_stack(data)
    try:
        url = stack.endpoints.databases["points"]
        assert command("check-books", "--data", str(data)).returncode == 0
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO accounts (member_id, balance, version, purchases)"
                " VALUES (gen_random_uuid(), 5, 0, 0)"
            )
        wrong = command("check-books", "--data", str(data))
        assert wrong.returncode == 1
        assert "1 members, 1 whose books do not agree" in wrong.stdout
        assert command("rotate-keys", "--data", str(data)).returncode == 0
    finally:
        assert stack.stop() == 0
    wrong = command("check-books", "--data", str(data))
    assert wrong.returncode == 1
    assert "1 members, 1 whose books do not agree" in wrong.stdout
    assert command("rotate-keys", "--data", str(data)).returncode == 0
    until_none_left(data, 10)
    again = start_stack(data)
    with psycopg.connect(again.endpoints.databases["identity"]) as connection:
        assert connection.execute("SELECT count(*) FROM signing_keys").fetchone() == (3,)
    assert again.stop() == 0
