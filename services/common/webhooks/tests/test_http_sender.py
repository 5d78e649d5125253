"""One attempt: to the address that was checked, within its time, and whatever the receiver does."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.webhooks.addresses import parse_networks
from services.common.webhooks.http_sender import HttpSender, Outcome
from tests.receiver import NOTHING, Receiver, status
from tests.waiting import eventually

LOOPBACK = parse_networks("127.0.0.0/8")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes all."""
    async with Receiver().listening() as one:
        yield one


class Names:
    """Look-ups, with the answers of the test's choice: one after the other, and the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def look_up(self, host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        """As `socket.getaddrinfo`."""
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


def named(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> Names:
    """Every name stands for these addresses."""
    names = Names(*answers)
    monkeypatch.setattr("services.common.webhooks.http_sender.socket.getaddrinfo", names.look_up)
    return names


async def post(sender: HttpSender, url: str) -> Outcome:
    """Makes an attempt."""
    return await sender.post(url, {"webhook-id": "1"}, b"{}")


@pytest.mark.covers("C6")
@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["169.254.169.254"], ["::1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:10.0.0.1"]]
)
async def test_a_name_that_stands_for_an_address_inside_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    named(monkeypatch, addresses)

    async def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it connected")

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", never)
    assert await post(HttpSender(()), "https://shop.example/") == Outcome(error="ADDRESS_NOT_ALLOWED")


@pytest.mark.covers("C6")
async def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, connected = named(monkeypatch, ["93.184.216.34"], ["127.0.0.1"]), []

    async def connect(_: object, host: str, port: int, **__: Any) -> None:
        connected.append((host, port))
        raise TimeoutError

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect)
    assert await post(HttpSender(()), "https://shop.example/") == Outcome(error="TIMED_OUT")
    assert names.asked == ["shop.example"]
    assert connected == [("93.184.216.34", 443)]


async def test_http_goes_to_allowed_networks_alone(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    names = named(monkeypatch, ["93.184.216.34"])
    url = f"http://localhost:{receiver.port}/hook"
    assert await post(HttpSender(LOOPBACK), url) == Outcome(error="ADDRESS_NOT_ALLOWED")
    names.answers = [["127.0.0.1"]]
    assert await post(HttpSender(LOOPBACK), url) == Outcome(204)
    assert await post(HttpSender(()), url) == Outcome(error="ADDRESS_NOT_ALLOWED")
    assert len(receiver.posts) == 1


async def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, [])
    assert await post(HttpSender(()), "https://shop.example/") == Outcome(error="HOST_NOT_FOUND")


async def test_a_look_up_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(
        "services.common.webhooks.http_sender.socket.getaddrinfo", lambda *_, **__: answered.wait(60)
    )
    try:
        outcome = await post(HttpSender((), connect_seconds=0.1), "https://shop.example/")
        assert outcome == Outcome(error="TIMED_OUT")
        assert not answered.is_set(), "nobody waited for the answer"
    finally:
        answered.set()


async def test_the_next_address_is_tried_when_one_takes_no_connection(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    named(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    assert await post(HttpSender(LOOPBACK), f"http://localhost:{receiver.port}/") == Outcome(204)


@pytest.mark.parametrize(
    ("host", "port"), [("[::1]", True), ("[::1]", False), ("127.0.0.1", False), ("localhost", True)]
)
async def test_the_host_is_named_as_in_the_url(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, host: str, port: bool
) -> None:
    real = httpcore.AnyIOBackend.connect_tcp

    async def connect(network: Any, _: str, __: int, **options: Any) -> Any:
        return await real(network, "127.0.0.1", receiver.port, **options)  # whether or not there is IPv6

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect)
    named(monkeypatch, [host.strip("[]").replace("localhost", "127.0.0.1")])
    authority = f"{host}:{receiver.port}" if port else host
    sender = HttpSender(parse_networks("127.0.0.0/8, ::1/128"))
    assert await post(sender, f"http://{authority}/hook") == Outcome(204)
    assert receiver.posts[0].headers["host"] == authority


@pytest.mark.covers("C6")
async def test_no_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    assert await post(HttpSender(LOOPBACK), receiver.url) == Outcome(204)


@pytest.mark.covers("C6")
@pytest.mark.parametrize("response", [NOTHING, b"HTTP/1.1 200 OK\r\n"], ids=["nothing", "half a head"])
async def test_a_receiver_that_does_not_respond_in_time_is_given_up(
    receiver: Receiver, response: bytes
) -> None:
    receiver.responses, receiver.holds_open = [response], True
    began = time.monotonic()
    assert await post(HttpSender(LOOPBACK, seconds=0.3), receiver.url) == Outcome(error="TIMED_OUT")
    assert time.monotonic() - began < 3


async def test_a_status_in_time_counts_even_if_the_body_comes_late(receiver: Receiver) -> None:
    receiver.responses, receiver.holds_open = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"], True
    assert await post(HttpSender(LOOPBACK, seconds=0.3), receiver.url) == Outcome(200)


@pytest.mark.covers("C6")
async def test_tls_needs_a_certificate_of_the_host_that_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served, trusted = certificate(tmp_path, "shop.example")
    named(monkeypatch, ["127.0.0.1"])
    async with Receiver(certificate=served).listening() as receiver:
        sender = HttpSender(LOOPBACK, trusted=trusted)
        assert await post(sender, f"https://shop.example:{receiver.port}/") == Outcome(204)
        assert receiver.posts[0].headers["host"] == f"shop.example:{receiver.port}"
        other = await post(sender, f"https://other.example:{receiver.port}/")
        assert other == Outcome(error="TLS_FAILED")
        untrusting = await post(HttpSender(LOOPBACK), f"https://shop.example:{receiver.port}/")
        assert untrusting == Outcome(error="TLS_FAILED")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-1", 0.0), ("1e3", 0.0), ("9" * 30, 0.0), ("", 0.0), ("soon", 0.0)],
)
async def test_retry_after_is_a_number_of_seconds(receiver: Receiver, value: str, seconds: float) -> None:
    receiver.responses = [status(503, retry_after=value)]
    assert await post(HttpSender(LOOPBACK), receiver.url) == Outcome(503, "REFUSED", seconds)


@pytest.mark.parametrize(("hours", "least", "most"), [(1, 3_500, 3_700), (-1, 0, 0)])
async def test_retry_after_may_be_a_moment(receiver: Receiver, hours: int, least: float, most: float) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    receiver.responses = [status(503, retry_after=f"{moment:%a, %d %b %Y %H:%M:%S} GMT")]
    outcome = await post(HttpSender(LOOPBACK), receiver.url)
    assert least <= outcome.retry_after <= most


async def test_an_attempt_that_is_cancelled_closes_its_connection(receiver: Receiver) -> None:
    receiver.responses = [NOTHING]
    attempt = asyncio.ensure_future(post(HttpSender(LOOPBACK), receiver.url))

    async def is_open(count: int) -> None:
        assert receiver.open == count

    await eventually(partial(is_open, 1))
    attempt.cancel()
    await asyncio.wait([attempt])
    await eventually(partial(is_open, 0))


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Returns a server's TLS for a host, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("203.0.113.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(pem, private)
    return served, ssl.create_default_context(cafile=str(pem))
