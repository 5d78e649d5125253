"""One-time passwords that really leave: by e-mail, by a provider's webhook, and when these fail."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr
from scrip.identity.v1 import auth_pb2

from services.identity.settings import Settings
from services.identity.tests.sending import SILENT, arrived, code_in, sending, smtp, webhook, working
from services.identity.tests.sinks import HANG, HttpSink, MailSink, listening
from tests.inprocess import Platform, eventually, new_phone


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_code_arrives_by_e_mail_and_is_good(platform: Platform) -> None:
    sink = MailSink()
    async with listening(sink), sending(platform, **smtp(sink)) as identity:
        phone = new_phone()
        sent = await identity.sent(phone)
        await arrived(lambda: sink.mails)
        [mail] = sink.mails
        assert mail.sender == "club@shop.example"
        assert mail.recipient == f"{phone.removeprefix('+')}@sms.example"
        assert mail.content["Subject"] == "Your code"
        assert mail.content["Message-ID"] == f"<{sent.otp_id}@shop.example>"
        code = code_in(mail.text)
        registered = await identity.register(sent.otp_id, code)
        assert registered.member.phone == phone
        await eventually(identity.assert_nothing_waits, seconds=20)


async def test_a_mail_server_that_was_away_or_refused_gets_it_again(platform: Platform) -> None:
    sink = MailSink(failures=[550])
    async with listening(sink):
        pass
    async with sending(platform, **smtp(sink)) as identity:
        sent = await identity.sent()
        await eventually(lambda: identity.assert_failed("the mail server can not be reached"))
        async with listening(sink):
            await arrived(lambda: sink.mails, seconds=20)
            assert sink.refused == 1
            await identity.register(sent.otp_id, code_in(sink.mails[0].text))
            await eventually(identity.assert_nothing_waits, seconds=20)
            assert len(sink.mails) == 1


async def test_a_mail_server_is_trusted_by_its_certificate_only(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MailSink(certificate=_certificate(tmp_path))
    login = {"otp_smtp_user_name": "club", "otp_smtp_password": SecretStr("password")}
    async with (
        listening(sink),
        sending(platform, **smtp(sink, otp_smtp_security="starttls", **login)) as identity,
    ):
        await identity.sent()
        await eventually(
            lambda: identity.assert_failed("the mail server has a certificate that is not trusted")
        )
        assert sink.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        await arrived(lambda: sink.mails, seconds=20)
        assert sink.mails[0].encrypted
        user = base64.b64decode(sink.mails[0].logged_in_as.removeprefix("PLAIN "))
        assert user == b"\0club\0password"


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_provider_gets_a_signed_message_again_until_it_takes_it(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    sink = HttpSink(failures=[500, 302])
    caplog.set_level(logging.DEBUG)
    login = SecretStr("Bearer of-the-shop")
    async with (
        listening(sink),
        sending(platform, **webhook(sink, otp_webhook_authorization=login)) as identity,
    ):
        phone = new_phone()
        sent = await identity.sent(phone)
        await arrived(lambda: sink.posts, 3, seconds=30)
        await eventually(identity.assert_nothing_waits, seconds=20)
        assert len(sink.posts) == 3
        for post in sink.posts:
            assert post.path == "/sms?to=all"
            assert post.headers["content-type"] == "application/json"
            assert post.headers["authorization"] == "Bearer of-the-shop"
            assert post.headers["webhook-id"] == sent.otp_id
            assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
            signed = f"{sent.otp_id}.{post.headers['webhook-timestamp']}.".encode() + post.body
            digest = hmac.digest(b"0123456789abcdef0123456789abcdef", signed, hashlib.sha256)
            assert post.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
            assert json.loads(post.body)["phone"] == phone
        codes = {code_in(json.loads(post.body)["text"]) for post in sink.posts}
        assert len(codes) == 1
        await identity.register(sent.otp_id, codes.pop())
    assert "the provider answered 500" in caplog.text
    assert code_in(json.loads(sink.posts[0].body)["text"]) not in caplog.text
    assert phone not in caplog.text


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_code_that_waits_to_be_sent_is_nowhere_readable(platform: Platform) -> None:
    sink = HttpSink(failures=[503] * 100)
    async with listening(sink), sending(platform, **webhook(sink)) as identity:
        sent = await identity.sent()
        await arrived(lambda: sink.posts)
        code = code_in(json.loads(sink.posts[0].body)["text"])
        assert len(await identity.rows("SELECT otp_id FROM otp_deliveries")) == 1
        assert await identity.rows("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_otp'") == [
            ({"otp_id": sent.otp_id},)
        ]
        tables = [row[0] for row in await identity.rows(_TABLES)]
        assert {"otps", "otp_deliveries", "procrastinate_jobs", "procrastinate_events"} <= set(tables)
        for table in tables:
            for row in await identity.rows(f'SELECT t::text FROM "{table}" t'):
                assert code not in row[0], table
                assert code.encode().hex() not in row[0], table
        assert await identity.rows("SELECT otp_id FROM sandbox_otps") == []


_TABLES = (
    "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
)


async def test_a_code_that_can_not_be_sent_in_time_is_dropped(platform: Platform) -> None:
    sink = HttpSink(failures=[503] * 100)
    async with listening(sink), sending(platform, **webhook(sink)) as identity:
        sent = await identity.sent()
        await arrived(lambda: sink.posts)
        await identity.rows(
            "UPDATE otps SET expires_at = now() WHERE id = CAST(%(id)s AS uuid) RETURNING 1", id=sent.otp_id
        )
        tries = len(sink.posts)
        await eventually(identity.assert_nothing_waits, seconds=20)
        assert len(sink.posts) <= tries + 1  # one may have been under way


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_worker_killed_while_sending_sends_once_more(platform: Platform) -> None:
    sink = HttpSink(failures=[HANG])
    async with (
        listening(sink),
        sending(platform, worker=False, **webhook(sink, otp_send_seconds=25.0)) as identity,
    ):
        sent = await identity.sent()
        process = _start_worker(identity.settings)
        try:
            await arrived(lambda: sink.posts, seconds=30)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        await identity.rows(SILENT)
        async with working(identity.settings):
            await arrived(lambda: sink.posts, 2, seconds=40)
            await eventually(identity.assert_nothing_waits, seconds=20)
        assert [post.headers["webhook-id"] for post in sink.posts] == [sent.otp_id] * 2
        assert sink.posts[0].body == sink.posts[1].body
        await identity.register(sent.otp_id, code_in(json.loads(sink.posts[1].body)["text"]))


async def test_a_worker_stops_in_time_though_a_provider_hangs(platform: Platform) -> None:
    sink = HttpSink(failures=[HANG])
    async with (
        listening(sink),
        sending(platform, worker=False, **webhook(sink, otp_send_seconds=25.0)) as identity,
    ):
        await identity.sent()
        process = _start_worker(identity.settings)
        try:
            await arrived(lambda: sink.posts, seconds=30)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 8) == 0
        finally:
            process.kill()
            process.wait()


def _start_worker(settings: Settings) -> subprocess.Popen[bytes]:
    given = settings.model_dump(exclude_none=True)
    given |= {
        name: getattr(settings, name).get_secret_value()
        for name in ("master_key", "service_secret", "otp_webhook_secret")
    }
    given["service_secret_hashes"] = json.dumps(given["service_secret_hashes"])
    simple = {name: str(value) for name, value in given.items() if isinstance(value, str | int | float)}
    environment = {f"SCRIP_{name.upper()}": value for name, value in simple.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "services.identity", "worker"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_provider_that_hangs_holds_up_no_member_event(platform: Platform) -> None:
    sink = HttpSink(failures=[HANG] * 1000)
    patient = {"otp_send_seconds": 10.0, "otp_sends_per_address": 1000}
    async with listening(sink), sending(platform, **webhook(sink, **patient)) as identity:
        await asyncio.gather(*[identity.sent() for _ in range(30)])
        await arrived(lambda: sink.posts, 20)
        await identity.auth.RegisterMember(
            auth_pb2.RegisterMemberRequest(
                full_name="Grace Hopper", user_name="grace.hopper", password="a long enough password"
            )
        )

        async def tried() -> None:  # in vain: the other services do not know this identity's keys
            query = "SELECT attempts FROM procrastinate_jobs WHERE task_name = 'send_outbox'"
            assert [attempts > 0 for (attempts,) in await identity.rows(query)] == [True] * 3

        await eventually(tried, seconds=8)  # less than what each post takes
        assert len(sink.posts) == 20  # and no more at a time


def _certificate(folder: Path) -> ssl.SSLContext:
    """Returns a server's TLS with a certificate that nobody trusts unless configured to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context
