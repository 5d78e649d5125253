"""Settings and ports: what is wrong is named."""

import socket

import pytest

from stack.__main__ import parse
from stack.errors import StackError
from stack.ports import free_block, is_free, require_free, why_not
from stack.settings import ROOT, read_settings
from stack.up import required_ports


def test_defaults_are_those_of_the_readme() -> None:
    settings = read_settings()
    assert (settings.host, settings.edge_port, settings.ops_port) == ("127.0.0.1", 8080, 8081)
    assert settings.data_folder == ROOT / ".data"


def test_environment_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIP_STACK_EDGE_PORT", "9000")
    monkeypatch.setenv("SCRIP_STACK_PROCESSES", "2")
    monkeypatch.setenv("SCRIP_STACK_ENV_POINTS", '{"SCRIP_CURRENCY": "EUR"}')
    command, settings = parse(["up", "--edge-port", "9001", "--no-sample"])
    assert command == "up"
    assert settings.edge_port == 9001
    assert settings.processes == 2
    assert settings.extra_environment("points") == {"SCRIP_CURRENCY": "EUR"}
    assert not settings.sample
    assert not settings.quiet


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SCRIP_STACK_EDGE_PORT", "70000", "SCRIP_STACK_EDGE_PORT: .*65535, got '70000'"),
        ("SCRIP_STACK_ENV_POINTS", "EUR", "env_points"),
        ("SCRIP_STACK_EDGEPORT", "1", "SCRIP_STACK_EDGEPORT is not a setting"),
    ],
)
def test_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=message) as caught:
        read_settings()
    assert "\n" not in str(caught.value)


def test_no_two_parts_share_a_port() -> None:
    ports = [port for _, port, _, _ in required_ports(read_settings(processes=10))]
    assert len(ports) == len(set(ports)) == 46


def test_the_port_of_an_inner_listener_is_seen_to_be_taken() -> None:
    base = free_block(50)
    with socket.create_server(("127.0.0.1", base + 3)), pytest.raises(StackError, match=f"port {base + 3} "):
        require_free(required_ports(read_settings(base_port=base, edge_port=base + 48, ops_port=base + 49)))


def test_a_port_for_root_alone_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert why_not("127.0.0.1", 80) == "port 80 is for root alone"


def test_an_address_of_another_machine_is_not_called_taken() -> None:
    assert why_not("192.0.2.1", 8080) == "192.0.2.1: Cannot assign requested address"


def test_taken_port_is_seen() -> None:
    port = free_block(3)
    with socket.create_server(("127.0.0.1", port + 1)):
        assert is_free("127.0.0.1", port)
        assert not is_free("127.0.0.1", port + 1)
