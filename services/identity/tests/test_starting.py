"""What identity does when it starts: the first admin, the signing key, and what the sandbox opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, sandbox_pb2, sandbox_pb2_grpc

from services.common.db import Connection, Database, fetch_all, fetch_value
from services.common.ids import new_id, utc_now
from services.common.server import RunningService
from services.identity.keys import SigningKeys, read_jwks
from services.identity.parts import open_database
from services.identity.server import compose
from services.identity.settings import Settings
from services.identity.staff import bootstrap_admin
from services.identity.tests.people import Values
from tests.databases import new_database
from tests.inprocess import Platform, bearer, new_phone, reason, refusal

FIRST, SECOND = "the first password", "another password"


@pytest.fixture(scope="module")
async def empty(platform: Platform) -> Settings:
    """Settings of an identity that nobody has started yet."""
    url = await new_database(platform.postgres, "identity")
    return _changed(platform, database_url=url, admin_user_name="Boss", admin_password=FIRST)


@pytest.fixture(scope="module")
async def db(empty: Settings) -> AsyncIterator[Database]:
    """Its database."""
    database = open_database(empty)
    yield database
    await database.close()


def _changed(platform: Platform, **values: Any) -> Settings:
    known: dict[str, Any] = platform.settings["identity"].model_dump()
    return Settings(**known | {"listen": "127.0.0.1:0"} | values)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    """Another identity while it runs, and a channel to it."""
    async with compose(settings) as service:
        running = RunningService(service, settings)
        port = await running.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel
        finally:
            await running.stop()


async def staff(db: Database) -> list[Values]:
    """Returns names and roles of all staff."""

    async def read(connection: Connection) -> list[Values]:
        query = "SELECT user_name, role FROM login_accounts WHERE role <> 'member' ORDER BY 1"
        return await fetch_all(connection, Values, query)

    return await db.read(read)


def log_in(channel: grpc.aio.Channel, password: str) -> Any:
    """A login of the first admin."""
    given = auth_pb2.PasswordCredentials(user_name="boss", password=password)
    return auth_pb2_grpc.AuthServiceStub(channel).LogIn(auth_pb2.LogInRequest(password=given))


async def test_without_a_password_no_admin_is_made(empty: Settings, db: Database) -> None:
    async with compose(empty.model_copy(update={"admin_password": type(empty.admin_password)("")})):
        assert await staff(db) == []


@pytest.mark.parametrize(("password", "why"), [("short", "8 to 128 characters"), ("password1", "too common")])
async def test_a_weak_password_of_the_first_admin_keeps_identity_from_starting(
    empty: Settings, db: Database, password: str, why: str
) -> None:
    weak = empty.model_copy(update={"admin_password": type(empty.admin_password)(password)})
    with pytest.raises(SystemExit, match=f"SCRIP_ADMIN_PASSWORD .*{why}"):
        async with compose(weak):
            pass
    assert await staff(db) == []


@pytest.mark.covers("I6 AuthService.LogIn")
async def test_the_first_admin_is_made_once_and_keeps_its_password(empty: Settings, db: Database) -> None:
    async with started(empty) as channel:
        assert await staff(db) == [("boss", "admin")]
        await log_in(channel, FIRST)
    second = type(empty.admin_password)(SECOND)
    async with started(
        empty.model_copy(update={"admin_user_name": "other", "admin_password": second})
    ) as again:
        assert await staff(db) == [("boss", "admin")]
        await log_in(again, FIRST)
        assert await reason(log_in(again, SECOND)) == "CREDENTIALS_NOT_VALID"
    unused = type(empty.admin_password)("weak")
    async with started(empty.model_copy(update={"admin_password": unused})) as once_more:
        await log_in(once_more, FIRST)


async def test_processes_that_start_at_once_make_one_admin(platform: Platform) -> None:
    url = await new_database(platform.postgres, "identity")
    database = Database(url, pool_size=10)
    calls = (database.run(bootstrap_admin, user_name="admin", password_hash=str(new_id())) for _ in range(10))
    assert (await asyncio.gather(*calls)).count(True) == 1
    assert not await database.run(bootstrap_admin, user_name="another", password_hash="x")
    assert await staff(database) == [("admin", "admin")]
    await database.close()


async def test_the_signing_key_survives_a_restart_and_is_kept_encrypted(
    empty: Settings, db: Database, platform: Platform
) -> None:
    before, after = SigningKeys(db, platform.vault), SigningKeys(db, platform.vault)
    await before.refresh()
    await after.refresh()
    first, again = before.at(utc_now()), after.at(utc_now())
    assert first.private_key.private_numbers() == again.private_key.private_numbers()
    assert first.id in {key["kid"] for key in (await db.read(read_jwks))["keys"]}

    async def kept(connection: Connection) -> bytes:
        return bytes(await fetch_value(connection, "SELECT private_key FROM signing_keys LIMIT 1"))

    assert b"PRIVATE KEY" not in await db.read(kept)


@pytest.mark.parametrize("key", ["", "c2hvcnQ=", "not base64"])
async def test_a_master_key_that_is_none_keeps_identity_from_starting(platform: Platform, key: str) -> None:
    with pytest.raises(SystemExit, match="SCRIP_MASTER_KEY"):
        async with compose(_changed(platform, master_key=key)):
            pass


@pytest.mark.covers("I1 SandboxService.GetOtp")
async def test_without_the_sandbox_its_call_does_not_exist(platform: Platform) -> None:
    request = sandbox_pb2.GetOtpRequest(otp_id=str(new_id()))
    async with started(_changed(platform, sandbox=False)) as channel:
        stub = sandbox_pb2_grpc.SandboxServiceStub(channel)
        _, code, _ = await refusal(stub.GetOtp(request, metadata=bearer(await platform.admin())))
        assert code is grpc.StatusCode.UNIMPLEMENTED
    open_sandbox = sandbox_pb2_grpc.SandboxServiceStub(platform.channels["identity"])
    assert (
        await reason(open_sandbox.GetOtp(request, metadata=bearer(await platform.admin()))) == "OTP_NOT_FOUND"
    )


async def test_without_the_sandbox_or_a_sender_no_otp_is_made_or_kept(platform: Platform) -> None:
    phone = new_phone()
    async with started(_changed(platform, sandbox=False)) as channel:
        request = auth_pb2.SendOtpRequest(phone=phone, purpose=auth_pb2.OTP_PURPOSE_REGISTER)
        name, code, metadata = await refusal(auth_pb2_grpc.AuthServiceStub(channel).SendOtp(request))
    assert (name, code) == ("DEPENDENCY_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    assert metadata == {"dependency": "otp_sender"}

    async def kept(connection: Connection) -> int:
        query = "SELECT count(*) FROM otps WHERE phone = %(phone)s"
        return int(await fetch_value(connection, query, phone=phone))

    assert await platform.databases["identity"].read(kept) == 0


async def test_the_life_of_tokens_is_a_setting(platform: Platform) -> None:
    async with started(_changed(platform, access_token_seconds=1800)) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        password = auth_pb2.PasswordCredentials(
            user_name="admin", password=platform.environment["admin_password"]
        )
        reply = await stub.LogIn(auth_pb2.LogInRequest(password=password))
    assert reply.token.expires_in == 1800
