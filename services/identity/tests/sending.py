"""An identity of a test's own that sends one-time passwords, and its worker."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import grpc
from pydantic import SecretStr
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.common.db import Connection, fetch_all
from services.identity.settings import Settings
from services.identity.tests.own_identity import OwnIdentity, own_identity
from services.identity.tests.people import LOG_IN, REGISTER, Values, recipient
from services.identity.tests.sinks import HttpSink, MailSink
from services.identity.worker import work
from tests.inprocess import Platform, eventually, new_phone

TEXT = "{code} / {minutes} min"
SILENT = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '11 seconds' RETURNING 1"
"""As if workers had been dead long enough for others to take over."""
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def smtp(sink: MailSink, **changes: Any) -> dict[str, Any]:
    """Settings for sending to this mail server."""
    return {
        "otp_sender": "smtp",
        "otp_smtp_host": "127.0.0.1",
        "otp_smtp_port": sink.port,
        "otp_smtp_security": "none",
        "otp_smtp_from": "club@shop.example",
        "otp_smtp_to": "{digits}@sms.example",
        **changes,
    }


def webhook(sink: HttpSink, **changes: Any) -> dict[str, Any]:
    """Settings for posting to this provider."""
    return {
        "otp_sender": "webhook",
        "otp_webhook_url": f"http://127.0.0.1:{sink.port}/sms?to=all",
        "otp_webhook_secret": SecretStr(SECRET),
        **changes,
    }


def code_in(words: str) -> str:
    """Returns the code in a message."""
    found = re.fullmatch(r"([0-9]{6}) / 5 min", words.strip())
    assert found, words
    return found[1]


async def arrived(posts: Callable[[], list[Any]], count: int = 1, seconds: float = 30.0) -> None:
    """Waits until so many messages have arrived."""

    async def check() -> None:
        assert len(posts()) >= count

    await eventually(check, seconds=seconds)


@dataclass
class Sending:
    """An identity whose one-time passwords are really sent, and its worker."""

    own: OwnIdentity
    settings: Settings
    auth: auth_pb2_grpc.AuthServiceStub

    async def ask(self, to: str = "") -> auth_pb2.SendOtpResponse:
        """Asks for a one-time password: to register with a number, or to log in with an e-mail address."""
        purpose = LOG_IN if "@" in to else REGISTER
        return await self.auth.SendOtp(
            auth_pb2.SendOtpRequest(**recipient(to or new_phone()), purpose=purpose)
        )

    async def sent(self, to: str = "") -> auth_pb2.SendOtpResponse:
        """Asks until Redis was quick enough to allow it, for the machine may be busy."""

        async def ask() -> auth_pb2.SendOtpResponse:
            try:
                return await self.ask(to)
            except grpc.aio.AioRpcError as error:
                raise AssertionError from error

        return await eventually(ask)

    async def register(self, otp_id: str, code: str) -> auth_pb2.RegisterMemberResponse:
        """Registers with a code that arrived."""
        proof = auth_pb2.RegisterMemberRequest(full_name="Grace Hopper")
        proof.otp.otp_id, proof.otp.code = otp_id, code
        return await self.auth.RegisterMember(proof)

    async def rows(self, query: LiteralString, **values: Any) -> list[Any]:
        """Returns rows of identity's database."""

        async def fetch(connection: Connection) -> list[Any]:
            return list(await fetch_all(connection, Values, query, **values))

        return await self.own.database.read(fetch)

    async def assert_failed(self, why: str) -> None:
        """The one code that waits was tried, and this is why in vain."""
        assert await self.rows("SELECT last_error FROM otp_deliveries WHERE tries > 0") == [(why,)]

    async def assert_nothing_waits(self) -> None:
        """No code is kept, and no job left."""
        assert await self.rows("SELECT otp_id FROM otp_deliveries WHERE sealed_code IS NOT NULL") == []
        assert await self.rows("SELECT id FROM procrastinate_jobs WHERE task_name = 'send_otp'") == []


@asynccontextmanager
async def sending(
    platform: Platform, *, worker: bool = True, database_url: str = "", **changes: Any
) -> AsyncIterator[Sending]:
    """An identity of its own with these settings."""
    targets = {f"{name}_target": target for name, target in platform.targets.items()}
    changes = {"sandbox": False, "otp_text": TEXT, "otp_send_seconds": 1.0, **targets, **changes}
    changed = platform.settings["identity"].model_copy(update=changes)
    async with own_identity(platform, database_url=database_url, **changes) as own, AsyncExitStack() as stack:
        settings = changed.model_copy(update={"database_url": own.database_url})
        if worker:
            await stack.enter_async_context(working(settings))
        yield Sending(own, settings, auth_pb2_grpc.AuthServiceStub(own.channel))


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """A worker with these settings."""
    stop = asyncio.Event()
    task = asyncio.create_task(work(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task
