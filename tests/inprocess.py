"""The real services in the test's own process: real channels, real PostgreSQL, real Redis.

Each service is built by its own `server.py`; only ports and databases are the test's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import itertools
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any, TypeVar
from uuid import UUID

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from scrip.identity.v1 import auth_pb2, member_pb2, member_pb2_grpc, otp_pb2

from services.common.cache import Redis
from services.common.caller import ADMIN, BRAND_MANAGER, MEMBER, TILL
from services.common.channels import open_channel
from services.common.db import Connection, Database, execute, fetch_value
from services.common.ids import new_id, utc_now
from services.common.server import RunningService
from services.common.sessions import SessionCache
from services.identity.accounts import Recipient
from services.identity.keys import SigningKeys, TokenIssuer, Vault
from services.identity.member_codes import sign_member_code
from services.identity.members import NewMember, get_member_code, register_member
from services.identity.messages import DEFAULT_LANGUAGE, MessageSender, Notices
from services.identity.otp.commands import send_otp
from services.identity.sessions import Logins, OpenedSession, SessionTokens, open_session
from stack.postgres import Postgres
from tests.databases import new_database
from tests.waiting import eventually as eventually  # noqa: PLC0414  # handed on

SERVICES = ("identity", "points", "promos", "vouchers")
ADMIN_PASSWORD = "correct horse battery staple"  # of a server that lives for one test run
ACCESS_SECONDS, LOGIN_SECONDS = 86_400, 90 * 86_400
MANY_LOGINS = 1_000
PASSWORD_KIB = 19_456
"""The least that is allowed, for the tests make hundreds of hashes."""
REDIS_SECONDS = 0.25
"""More than elsewhere: all services, their workers and the tests share one process."""
T = TypeVar("T")
_phones = itertools.count(secrets.randbelow(5_000_000))


@dataclass
class Member:
    """A registered member and the tokens of its login."""

    id: UUID
    code: str
    token: str
    phone: str
    refresh_token: str


@dataclass
class Platform:
    """All services, started."""

    postgres: Postgres
    redis_url: str
    environment: dict[str, Any]
    targets: dict[str, str] = field(default_factory=dict)
    running: dict[str, RunningService] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    _issuer: TokenIssuer | None = None

    _keys: SigningKeys | None = None
    _redis: Redis | None = None
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def vault(self) -> Vault:
        """Identity's keys at rest."""
        return Vault(self.environment["master_key"])

    @property
    def logins(self) -> Logins:
        """Runs identity's commands that change who is logged in, as identity itself does."""
        if self._redis is None:
            self._redis = Redis(self.redis_url, REDIS_SECONDS)
        return Logins(self.databases["identity"], SessionCache(self._redis))

    async def issuer(self) -> TokenIssuer:
        """Signs tokens with identity's own key."""
        if self._keys is None:
            self._keys = SigningKeys(self.databases["identity"], self.vault)
        await self._keys.refresh()
        return TokenIssuer(self._keys)

    @property
    def notices(self) -> Notices:
        """What tells members that their accounts were changed; the sandbox keeps it."""
        return Notices(self.vault, MessageSender.sandbox())

    async def token(self, role: str, subject: UUID | str | None = None) -> str:
        """Returns a token of this role with a login behind it; for the same subject, the same token.

        A subject that has no account gets one.
        """
        known = (role, str(subject)) if subject else None
        if known in self._tokens:
            return self._tokens[known]
        owner = UUID(str(subject or new_id()))
        if role == TILL:
            made = await self.till_token(owner)
        else:
            session = await self.logins.run(_open_session_of, owner, role)
            issued = SessionTokens(await self.issuer(), ACCESS_SECONDS).opened(owner, role, session)
            made = issued.access.value
        if known:
            self._tokens[known] = made
        return made

    async def admin(self) -> str:
        """Returns a new admin's token."""
        return await self.token(ADMIN)

    async def brand_manager(self, brand_id: UUID | str) -> str:
        """Returns a token of a brand manager of this brand; for the same brand, the same token."""
        known = (BRAND_MANAGER, str(brand_id))
        if known not in self._tokens:
            owner, brand = new_id(), UUID(str(brand_id))
            session = await self.logins.run(_open_session_of, owner, BRAND_MANAGER, brand)
            tokens = SessionTokens(await self.issuer(), ACCESS_SECONDS)
            self._tokens[known] = tokens.opened(owner, BRAND_MANAGER, session, brand).access.value
        return self._tokens[known]

    async def till(self, seconds: int = 3600) -> str:
        """Returns a new till's token, good for so long."""
        return await self.till_token(new_id(), seconds)

    async def till_token(self, till_id: UUID, seconds: int = 3600) -> str:
        """Returns a token of a till, which is made if need be."""
        series = await self.databases["identity"].run(_series_of, till_id)
        return (await self.issuer()).issue_for_till(till_id, seconds, series=series).value

    async def service_token(self, service: str) -> str:
        """Returns a token that a service would use."""
        return (await self.issuer()).issue_for_service(service).value

    async def member(self, full_name: str = "Ada Lovelace", phone: str = "") -> Member:
        """Returns a newly registered member, logged in; with a number of its own if none is given."""
        phone = phone or new_phone()
        made = await self.logins.run(
            register_member,
            self.vault,
            self.notices,
            new=NewMember(full_name, phone=phone),
            device_id="",
            session_seconds=LOGIN_SECONDS,
            language=DEFAULT_LANGUAGE,
        )
        code = await self.databases["identity"].read(get_member_code, made.member.id)
        token = SessionTokens(await self.issuer(), ACCESS_SECONDS).opened(
            made.member.id, MEMBER, made.session
        )
        return Member(made.member.id, code, token.access.value, phone, token.refresh_token)

    async def close_account(self, member: Member) -> None:
        """Has a member close the account, who proves by the phone number who calls."""
        database, recipient = self.databases["identity"], Recipient(phone=member.phone)
        purpose = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_STEP_UP)
        sent = await database.run(
            send_otp, self.vault, MessageSender.sandbox(), recipient=recipient, purpose=purpose
        )
        query = "SELECT code FROM sandbox_otps WHERE otp_id = %(id)s"
        code: str = await database.read(fetch_value, query, id=sent.id)
        proof = otp_pb2.Proof(otp=otp_pb2.OtpProof(otp_id=str(sent.id), code=code))
        stub = member_pb2_grpc.MemberServiceStub(self.channels["identity"])
        request = member_pb2.CloseMeRequest(confirm=True, proof=proof)
        await stub.CloseMe(request, metadata=bearer(member.token))

    def signed_code(self, member: Member, issued_at: datetime | None = None) -> str:
        """Returns a signed code of the member, made now or at another moment."""
        return sign_member_code(self.vault, member.id, issued_at or utc_now()).text

    def deadlocks(self) -> int:
        """Returns how many deadlocks the database server has dissolved since it was started."""
        return (self.postgres.folder / "server.log").read_text(errors="replace").count("deadlock detected")

    async def close(self) -> None:
        """Closes what tests opened."""
        for channel in self.channels.values():
            await channel.close()
        for database in self.databases.values():
            await database.close()
        if self._redis:
            await self._redis.close()

    async def stop(self, service: str) -> None:
        """Stops a service and closes all it has; calls to it fail until it is started again."""
        del self.running[service]
        await self.stacks.pop(service).aclose()


async def _series_of(connection: Connection, till_id: UUID) -> UUID:
    """Returns the series of a till's tokens; a till is made if need be."""
    await execute(
        connection,
        """
        INSERT INTO clients (id, display_name) VALUES (%(id)s, %(name)s) ON CONFLICT (id) DO NOTHING
        """,
        id=till_id,
        name=f"Test {till_id}",
    )
    series: UUID = await fetch_value(
        connection, "SELECT token_series FROM clients WHERE id = %(id)s", id=till_id
    )
    return series


async def _open_session_of(
    connection: Connection, account_id: UUID, role: str, brand_id: UUID | None = None
) -> OpenedSession:
    """Returns a login beside those that the account has, which is made if need be."""
    kind = "MEMBER" if role == MEMBER else "STAFF"
    await execute(
        connection,
        """
        INSERT INTO accounts (id, kind, user_name, password_hash)
        VALUES (%(id)s, %(kind)s, %(name)s, 'none') ON CONFLICT (id) DO NOTHING
        """,
        id=account_id,
        kind=kind,
        name=f"test-{account_id}",
    )
    if kind == "STAFF":
        await execute(
            connection,
            """
            INSERT INTO staff (id, full_name, role, brand_id)
            VALUES (%(id)s, 'Test Staff', %(role)s, %(brand_id)s)
            ON CONFLICT (id) DO NOTHING
            """,
            id=account_id,
            role=role,
            brand_id=brand_id,
        )
    return await open_session(
        connection, account_id=account_id, device_id="", most=MANY_LOGINS, seconds=LOGIN_SECONDS
    )


def new_phone() -> str:
    """Returns a phone number in E.164 form that nobody has yet."""
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


async def as_apps_do(call: Callable[[], Awaitable[T]]) -> T:
    """Makes a call that has a key, and makes it again while a service is too busy to reply to another.

    For calls that need a connection to the database each: 50 at once share 10, and on a slow machine one may
    wait for longer than the 5 s after which it is refused and to be repeated. So who uses this counts in the
    end that each key had its effect exactly once. Three times at most, so that what is away is seen.
    """
    for _ in range(2):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            refused = error
        if await reason(_raising(refused)) not in ("DEPENDENCY_UNAVAILABLE", "OVERLOADED"):
            raise refused
        await asyncio.sleep(0.5)
    return await call()


async def _raising(error: grpc.aio.AioRpcError) -> None:
    raise error


async def reason(call: Awaitable[object]) -> str:
    """Returns the reason with which a call was refused."""
    return (await refusal(call))[0]


async def refused_status(call: Awaitable[object]) -> tuple[status_pb2.Status, grpc.StatusCode]:
    """Returns the whole status of a refused call, and its code."""
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


GATEWAY_SECRET = "whsec_" + base64.b64encode(b"what a gateway signs with").decode()
_OF_VOUCHERS = {
    "sandbox": True,
    "payment_provider_name": "GATEWAY",
    "payment_provider_url": "http://127.0.0.1:1/",  # where nobody listens: it is heard, and never asked
    "payment_provider_secret": GATEWAY_SECRET,
}


class InProcess:
    """Starts and stops the platform in this process."""

    def __init__(self, postgres: Postgres, redis_url: str) -> None:
        secret = {name: secrets.token_urlsafe(32) for name in SERVICES}
        hashes = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in secret.items()}
        self._secrets = secret
        self._of_promos = {
            "webhook_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "webhook_allowed_networks": "127.0.0.0/8",
        }
        environment = {
            "master_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "service_secret_hashes": hashes,
            "admin_password": ADMIN_PASSWORD,
            "sandbox": True,
            "password_memory_kib": PASSWORD_KIB,
            "otp_sends_per_address": 100_000,
            "registrations_per_address": 100_000,
        }
        self.platform = Platform(postgres, redis_url, environment)
        self._workers: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}

    async def start(self) -> Platform:
        """Starts every service and every worker."""
        nobody = "ipv4:127.0.0.1:1"  # until the service listens
        self.platform.targets = dict.fromkeys(SERVICES, nobody)
        for name in SERVICES:
            await new_database(self.platform.postgres, name, name)
        for name in SERVICES:
            await self.start_service(name)
        await self.platform.stop("identity")  # it was the first, and knew of no other
        await self.start_service("identity")
        for name in SERVICES:
            self.start_worker(name)
        return self.platform

    async def start_service(self, name: str) -> None:
        """Starts one service; its port stays the same when it is started again."""
        settings = self._settings(name)
        platform = self.platform
        stack = platform.stacks[name] = AsyncExitStack()
        service = await stack.enter_async_context(_module(name, "server").compose(settings))
        running = RunningService(service, settings)
        stack.push_async_callback(running.stop)
        port = await running.start()
        platform.running[name] = running
        platform.targets[name] = f"ipv4:127.0.0.1:{port}"
        platform.settings[name] = self._settings(name)
        if name not in platform.channels:
            platform.channels[name] = open_channel(platform.targets[name])
            platform.databases[name] = _module(name, "parts").open_database(settings)

    async def stop(self) -> None:
        """Stops everything."""
        for name in list(self._workers):
            await self.stop_worker(name)
        for name in list(self.platform.running):
            await self.platform.stop(name)
        await self.platform.close()

    def start_worker(self, name: str) -> None:
        """Starts the worker of a service."""
        stop = asyncio.Event()
        task = asyncio.create_task(_module(name, "worker").work(self._settings(name), stop))
        self._workers[name] = task, stop

    async def stop_worker(self, name: str) -> None:
        """Stops the worker of a service; its jobs wait until it is started again."""
        task, stop = self._workers.pop(name)
        stop.set()
        await task

    def _settings(self, name: str) -> Any:
        platform = self.platform
        known = platform.targets[name]
        return _module(name, "settings").Settings(
            database_url=platform.postgres.url(name),
            redis_url=platform.redis_url,
            redis_seconds=REDIS_SECONDS,
            listen="127.0.0.1:0" if known.endswith(":1") else known.removeprefix("ipv4:"),
            service_secret=self._secrets[name],
            reflection=True,
            drain_seconds=1.0,
            **{f"{service}_target": target for service, target in platform.targets.items()},
            **(platform.environment if name == "identity" else {}),
            **(self._of_promos if name == "promos" else {}),
            **(_OF_VOUCHERS if name == "vouchers" else {}),
            **({"image_folder": str(platform.postgres.folder / "images")} if name == "vouchers" else {}),
        )


def _module(service: str, name: str) -> ModuleType:
    return importlib.import_module(f"services.{service}.{name}")
