"""Tokens of tills end with their till: every service refuses them within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import grpc
import orjson
import pytest
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, client_pb2, client_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from scrip.promos.v1 import code_pb2, code_pb2_grpc

from services.common.db import Connection, execute
from services.common.ids import new_id
from services.identity.tills import EndedTokens, end_till_tokens
from tests.inprocess import Platform, bearer, eventually, reason, refusal

Stub = client_pb2_grpc.ClientServiceStub
GOOD = {"VALIDATION_FAILED"}
"""How the services treat a good token: the requests below have nothing in them."""
PROMISED = 2.0
"""Seconds within which a till that was disabled is refused."""


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.fixture
async def till(grpc_stub: Stub, admin: list[tuple[str, str]]) -> client_pb2.CreateClientResponse:
    """A new till with its secret."""
    request = client_pb2.CreateClientRequest(display_name=f"Till {new_id()}")
    return await grpc_stub.CreateClient(request, metadata=admin)


async def token_of(platform: Platform, client_id: str, secret: str) -> str:
    """Returns a till's token, by its secret."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    request = auth_pb2.IssueClientTokenRequest(form=httpbody_pb2.HttpBody(data=urlencode(form).encode()))
    auth = auth_pb2_grpc.AuthServiceStub(platform.channels["identity"])
    return str(orjson.loads((await auth.IssueClientToken(request)).data)["access_token"])


async def answers(platform: Platform, token: str) -> set[str]:
    """Returns how each service that tills call treats a token."""
    purchases = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    codes = code_pb2_grpc.CodeServiceStub(platform.channels["promos"])
    calls: list[Awaitable[object]] = [
        purchases.RecordPurchase(purchase_pb2.RecordPurchaseRequest(), metadata=bearer(token)),
        codes.VerifyCode(code_pb2.VerifyCodeRequest(), metadata=bearer(token)),
    ]
    return set(await asyncio.gather(*map(reason, calls)))


async def assert_refused(platform: Platform, token: str, why: str) -> float:
    """Asserts that all services refuse a token; returns how long it took."""
    began = time.monotonic()

    async def refused() -> None:
        assert await answers(platform, token) == {why}

    await eventually(refused)
    return time.monotonic() - began


@pytest.mark.covers("I6 ClientService.DisableClient", "I4 IdentityInternalService.BatchCheckSessions")
async def test_a_disabled_till_is_refused_by_every_service_at_once_and_for_good(
    grpc_stub: Stub,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    client_id, token = till.client.id, await token_of(platform, till.client.id, till.client_secret)
    assert await answers(platform, token) == GOOD
    await grpc_stub.DisableClient(client_pb2.DisableClientRequest(client_id=client_id), metadata=admin)
    await assert_refused(platform, token, "ACCOUNT_SUSPENDED")
    purchases = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    call = purchases.RecordPurchase(purchase_pb2.RecordPurchaseRequest(), metadata=bearer(token))
    name, code, _ = await refusal(call)
    assert (name, code) == ("ACCOUNT_SUSPENDED", grpc.StatusCode.PERMISSION_DENIED)
    # Enabled again, it needs another secret, and what it had stays dead.
    await grpc_stub.EnableClient(client_pb2.EnableClientRequest(client_id=client_id), metadata=admin)
    await assert_refused(platform, token, "SESSION_ENDED")
    assert await reason(token_of(platform, client_id, till.client_secret)) == "CREDENTIALS_NOT_VALID"
    rotate = client_pb2.RotateClientSecretRequest(client_id=client_id, overlap_seconds=60)
    rotated = await grpc_stub.RotateClientSecret(rotate, metadata=admin)
    assert await reason(token_of(platform, client_id, till.client_secret)) == "CREDENTIALS_NOT_VALID"
    again = await token_of(platform, client_id, rotated.client_secret)
    assert await answers(platform, again) == GOOD
    assert await answers(platform, token) == {"SESSION_ENDED"}


@pytest.mark.covers("I6 ClientService.RotateClientSecret")
async def test_a_secret_without_an_overlap_ends_the_tokens_of_the_old_one(
    grpc_stub: Stub,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    token = await token_of(platform, till.client.id, till.client_secret)
    assert await answers(platform, token) == GOOD
    request = client_pb2.RotateClientSecretRequest(client_id=till.client.id, overlap_seconds=60)
    await grpc_stub.RotateClientSecret(request, metadata=admin)
    await asyncio.sleep(PROMISED)  # nothing must happen
    assert await answers(platform, token) == GOOD
    request.overlap_seconds = 0
    rotated = await grpc_stub.RotateClientSecret(request, metadata=admin)
    await assert_refused(platform, token, "SESSION_ENDED")
    new = await token_of(platform, till.client.id, rotated.client_secret)
    assert await answers(platform, new) == GOOD


@pytest.mark.covers("I6 ClientService.DisableClient", "P2 PurchaseService.StreamPurchases")
async def test_its_stream_ends_though_its_token_is_good(
    grpc_stub: Stub,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    token = await token_of(platform, till.client.id, till.client_secret)
    purchases = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    call: Any = purchases.StreamPurchases(metadata=bearer(token))
    message = purchase_pb2.StreamPurchasesRequest(purchases=[purchase_pb2.RecordPurchaseRequest()])
    await call.write(message)
    answer = await call.read()
    assert len(answer.results) == 1
    await grpc_stub.DisableClient(client_pb2.DisableClientRequest(client_id=till.client.id), metadata=admin)

    async def go_on() -> None:
        while await call.read() is not grpc.aio.EOF:
            await asyncio.sleep(0.1)
            await call.write(message)

    await call.write(message)
    async with asyncio.timeout(20):
        assert await reason(go_on()) == "ACCOUNT_SUSPENDED"


@pytest.mark.covers("I6 ClientService.DisableClient")
async def test_fifty_who_disable_and_enable_at_once_leave_what_every_service_believes(
    grpc_stub: Stub,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    token, client_id = await token_of(platform, till.client.id, till.client_secret), till.client.id
    calls: list[Awaitable[object]] = []
    for n in range(50):
        if n % 2:
            request = client_pb2.EnableClientRequest(client_id=client_id)
            calls.append(grpc_stub.EnableClient(request, metadata=admin))
        else:
            calls.append(
                grpc_stub.DisableClient(client_pb2.DisableClientRequest(client_id=client_id), metadata=admin)
            )
    await asyncio.gather(*calls)
    enable = client_pb2.EnableClientRequest(client_id=client_id)
    await grpc_stub.EnableClient(enable, metadata=admin)
    rotate = client_pb2.RotateClientSecretRequest(client_id=client_id, overlap_seconds=60)
    secret = (await grpc_stub.RotateClientSecret(rotate, metadata=admin)).client_secret
    await assert_refused(platform, token, "SESSION_ENDED")
    again = await token_of(platform, client_id, secret)
    assert await answers(platform, again) == GOOD


async def test_another_feature_ends_them_in_its_own_transaction(
    platform: Platform, till: client_pb2.CreateClientResponse
) -> None:
    token = await token_of(platform, till.client.id, till.client_secret)
    assert await answers(platform, token) == GOOD

    async def fail(connection: Connection) -> None:
        await end_till_tokens(connection, UUID(till.client.id))
        raise RuntimeError("what goes with it fails")

    with pytest.raises(RuntimeError):
        await platform.databases["identity"].run(fail)
    assert await answers(platform, token) == GOOD

    async def delete(connection: Connection) -> EndedTokens:
        ended = await end_till_tokens(connection, UUID(till.client.id))
        await execute(connection, "DELETE FROM clients WHERE id = %(id)s", id=UUID(till.client.id))
        return ended

    await platform.logins.run(delete)
    await assert_refused(platform, token, "SESSION_ENDED")


async def test_a_till_that_nobody_made_is_refused(platform: Platform) -> None:
    made = (await platform.issuer()).issue_for_till(new_id(), 60, series=new_id())
    assert await answers(platform, made.value) == {"SESSION_ENDED"}
