"""The real services in the test's own process: real channels, real PostgreSQL, real Redis.

Each service is built by its own composition root; only ports and databases are the test's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar
from uuid import UUID

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import migrations
from services.common.auth import ADMIN, MEMBER, TILL
from services.common.channels import open_channel
from services.common.db import Database
from services.common.ids import new_id
from services.common.server import RunningService
from services.identity.commands.register_member import register_member
from services.identity.commands.send_otp import send_otp
from services.identity.keys import ensure_signing_key
from services.identity.otp_sender import SandboxOtpSender
from services.identity.queries import get_member_code
from services.identity.secrets_at_rest import Vault
from services.identity.tokens import TokenIssuer
from stack.postgres import Postgres

SERVICES = ("identity", "points", "promos", "vouchers")
ADMIN_PASSWORD = "correct horse battery staple"  # of a server that lives for one test run
T = TypeVar("T")
_phones = itertools.count(secrets.randbelow(5_000_000))


@dataclass
class Member:
    """A registered member and its token."""

    id: UUID
    code: str
    token: str


@dataclass
class Platform:
    """All services, started."""

    postgres: Postgres
    redis_url: str
    environment: dict[str, Any]
    targets: dict[str, str] = field(default_factory=dict)
    running: dict[str, RunningService] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    _issuer: TokenIssuer | None = None

    @property
    def vault(self) -> Vault:
        """Identity's keys at rest."""
        return Vault(self.environment["master_key"])

    async def issuer(self) -> TokenIssuer:
        """Signs tokens with identity's own key."""
        if self._issuer is None:
            key = await self.databases["identity"].run(ensure_signing_key, self.vault)
            self._issuer = TokenIssuer(key)
        return self._issuer

    async def token(self, role: str, subject: UUID | str | None = None) -> str:
        """A token of this role, for a subject of one's choice."""
        return (await self.issuer()).issue(subject or new_id(), role, 3600).value

    async def admin(self) -> str:
        """An admin's token."""
        return await self.token(ADMIN)

    async def till(self) -> str:
        """A new till's token."""
        return await self.token(TILL)

    async def service_token(self, service: str) -> str:
        """A token that a service would use."""
        return (await self.issuer()).issue_for_service(service).value

    async def member(self) -> Member:
        """A newly registered member."""
        identity = self.databases["identity"]
        phone = new_phone()
        otp = await identity.run(
            send_otp, self.vault, SandboxOtpSender(), phone=phone, purpose="OTP_PURPOSE_REGISTER"
        )
        made = await identity.run(register_member, otp_id=otp.id, phone=phone, full_name="Ada Lovelace")
        code = await identity.read(get_member_code, made.id)
        return Member(made.id, code, await self.token(MEMBER, made.id))

    async def stop(self, service: str) -> None:
        """Stops a service; calls to it fail until it is started again."""
        await self.running.pop(service).stop()


def new_phone() -> str:
    """A phone number in E.164 form that nobody has yet."""
    number = next(_phones)
    return f"+1415{2_000_000 + number % 8_000_000:07d}"


def bearer(token: str, **headers: str) -> list[tuple[str, str]]:
    """Metadata with a token, and with other headers if given (`idempotency_key` for `idempotency-key`)."""
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return [("authorization", f"Bearer {token}"), *given]


async def refusal(call: Awaitable[object]) -> tuple[str, grpc.StatusCode, dict[str, str]]:
    """Reason, status code and metadata with which a call was refused. Fails when it was not."""
    status, code = await refused_status(call)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), f"no ErrorInfo in {status}"
    assert info.domain == "scrip"
    return info.reason, code, dict(info.metadata)


async def reason(call: Awaitable[object]) -> str:
    """The reason with which a call was refused."""
    return (await refusal(call))[0]


async def refused_status(call: Awaitable[object]) -> tuple[status_pb2.Status, grpc.StatusCode]:
    """The whole status of a refused call, and its code."""
    try:
        reply = await call
    except grpc.aio.AioRpcError as error:
        refused = error
    else:
        raise AssertionError(f"the call was not refused: {reply}")
    status = rpc_status.from_call(refused)  # type: ignore[arg-type]  # an AioRpcError has what a Call has
    assert status is not None, f"a bare {refused.code()}: {refused.details()}"
    return status, refused.code()


async def as_client(call: Callable[..., Awaitable[T]], *arguments: object, **options: object) -> T:
    """Makes a call as a real client does: with a deadline, and again with the same key when it passes."""
    for _ in range(3):
        try:
            return await call(*arguments, timeout=15, **options)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
    raise AssertionError("no answer to three tries")


async def eventually(check: Callable[[], Awaitable[T]], *, seconds: float = 5.0) -> T:
    """Repeats a check that raises AssertionError until it passes, for so long at most."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


class InProcess:
    """Starts and stops the platform in this process."""

    def __init__(self, postgres: Postgres, redis_url: str) -> None:
        secret = {name: secrets.token_urlsafe(32) for name in SERVICES}
        hashes = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in secret.items()}
        self._secrets = secret
        environment = {
            "master_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "service_secret_hashes": hashes,
            "admin_password": ADMIN_PASSWORD,
            "sandbox": True,
            "otp_sends_per_address": 100_000,
        }
        self.platform = Platform(postgres, redis_url, environment)
        self._stack = AsyncExitStack()
        self._workers: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def start(self) -> Platform:
        """Starts every service and every worker."""
        nobody = "ipv4:127.0.0.1:1"  # until the service listens
        self.platform.targets = dict.fromkeys(SERVICES, nobody)
        for name in SERVICES:
            self.platform.postgres.create_database(name)
            url = self.platform.postgres.url(name)
            await asyncio.to_thread(migrations.upgrade, name, url)
        for name in SERVICES:
            await self.start_service(name)
        for name in SERVICES:
            self._start_worker(name)
        return self.platform

    async def start_service(self, name: str) -> None:
        """Starts one service; its port stays the same when it is started again."""
        root = _composition_root(name)
        settings = self._settings(root, name)
        service = await self._stack.enter_async_context(root.compose(settings))
        running = RunningService(service, settings)
        port = await running.start()
        platform = self.platform
        platform.running[name] = running
        platform.targets[name] = f"ipv4:127.0.0.1:{port}"
        platform.settings[name] = self._settings(root, name)
        if name not in platform.channels:
            platform.channels[name] = open_channel(platform.targets[name])
            platform.databases[name] = root.open_database(settings)

    async def stop(self) -> None:
        """Stops everything."""
        for task, stop in self._workers:
            stop.set()
            await task
        for running in self.platform.running.values():
            await running.stop()
        for channel in self.platform.channels.values():
            await channel.close()
        for database in self.platform.databases.values():
            await database.close()
        await self._stack.aclose()

    def _start_worker(self, name: str) -> None:
        root = _composition_root(name)
        work = getattr(root, "work", None)
        if work is None:
            return
        stop = asyncio.Event()
        task = asyncio.create_task(work(self._settings(root, name), stop))
        self._workers.append((task, stop))

    def _settings(self, root: ModuleType, name: str) -> Any:
        platform = self.platform
        known = platform.targets[name]
        return root.Settings(
            database_url=platform.postgres.url(name),
            redis_url=platform.redis_url,
            listen="127.0.0.1:0" if known.endswith(":1") else known.removeprefix("ipv4:"),
            service_secret=self._secrets[name],
            reflection=True,
            drain_seconds=1.0,
            **{f"{service}_target": target for service, target in platform.targets.items()},
            **(platform.environment if name == "identity" else {}),
        )


def _composition_root(name: str) -> ModuleType:
    return importlib.import_module(f"services.{name}.__main__")
