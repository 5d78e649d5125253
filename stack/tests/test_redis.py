"""Redis of the stack: a cache that leaves nothing behind."""

import os
import signal
from pathlib import Path

import pytest
import redis

from stack.child import is_running
from stack.errors import StackError
from stack.redis import Redis


def test_it_answers_is_bounded_and_writes_nothing(tmp_path: Path) -> None:
    server = Redis(tmp_path)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.set("key", "value")
            assert client.config_get("maxmemory")["maxmemory"] == str(128 * 1024 * 1024)
            assert client.config_get("save")["save"] == ""
            number = int(client.info("server")["process_id"])
    finally:
        server.stop()
    assert not is_running(number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["password.conf", "server.log"]
    assert (tmp_path / "password.conf").stat().st_mode & 0o777 == 0o600


def test_other_users_of_the_machine_are_refused(tmp_path: Path) -> None:
    """They reach the port, and could bring a login back that has ended."""
    server = Redis(tmp_path)
    server.start()
    try:
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.set("key", "value")
        line = Path(f"/proc/{_number(server)}/cmdline").read_text()
        assert server.url.split("@")[0].removeprefix("redis://:") not in line
    finally:
        server.stop()


def _number(server: Redis) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


def test_taken_port_is_told(tmp_path: Path) -> None:
    first = Redis(tmp_path / "first")
    first.start()
    try:
        with pytest.raises(StackError, match=f"Redis did not start on port {first.port}"):
            Redis(tmp_path / "second", first.port).start()
    finally:
        first.stop()


def test_stop_of_a_server_that_died_is_no_error(tmp_path: Path) -> None:
    server = Redis(tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        number = int(client.info("server")["process_id"])
    os.kill(number, signal.SIGKILL)
    server.stop()
    assert not is_running(number)
