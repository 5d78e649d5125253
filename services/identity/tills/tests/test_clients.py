"""What admins do to tills: rotating secrets, disabling, enabling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import grpc
import jwt
import orjson
import pytest
from google.api import httpbody_pb2
from scrip.identity.v1 import (
    auth_pb2,
    auth_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
)
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.db import Connection, fetch_values
from services.common.ids import new_id
from services.identity.tests.staff_help import actions
from tests.inprocess import Platform, bearer, reason, refusal

Stub = client_pb2_grpc.ClientServiceStub
WEEK = 7 * 24 * 3600


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


async def token(channel: grpc.aio.Channel, client_id: str, secret: str) -> str:
    """Returns a token for a till."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    body = httpbody_pb2.HttpBody(
        content_type="application/x-www-form-urlencoded", data=urlencode(form).encode()
    )
    request = auth_pb2.IssueClientTokenRequest(form=body)
    reply = await auth_pb2_grpc.AuthServiceStub(channel).IssueClientToken(request)
    return str(orjson.loads(reply.data)["access_token"])


async def listed(stub: Stub, platform: Platform, client_id: str) -> client_pb2.Client:
    """Returns the till as the list has it."""
    page_token = ""
    while True:
        request = client_pb2.ListClientsRequest(page_size=200, page_token=page_token)
        reply = await stub.ListClients(request, metadata=bearer(await platform.admin()))
        for client in reply.clients:
            if client.id == client_id:
                return client
        page_token = reply.next_page_token
        assert page_token, "the till is not listed"


def rotation(client_id: str, overlap_seconds: int) -> client_pb2.RotateClientSecretRequest:
    return client_pb2.RotateClientSecretRequest(client_id=client_id, overlap_seconds=overlap_seconds)


@pytest.mark.covers("I6 ClientService.RotateClientSecret")
async def test_after_a_rotation_both_secrets_work_until_the_overlap_is_over(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    rotated = await grpc_stub.RotateClientSecret(rotation(till.client.id, 2), metadata=admin)
    at = time.monotonic()
    assert len(rotated.client_secret) >= 43
    assert rotated.client_secret != till.client_secret
    for secret in (till.client_secret, rotated.client_secret):
        await token(grpc_channel, till.client.id, secret)
    await asyncio.sleep(max(0.0, at + 2.05 - time.monotonic()))
    old = token(grpc_channel, till.client.id, till.client_secret)
    assert await reason(old) == "CREDENTIALS_NOT_VALID"
    await token(grpc_channel, till.client.id, rotated.client_secret)
    assert await actions(platform, till.client.id) == ["client.created", "client.secret_rotated"]


async def test_a_rotation_without_overlap_ends_every_older_secret_at_once(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    first = await grpc_stub.RotateClientSecret(rotation(till.client.id, WEEK), metadata=admin)
    second = await grpc_stub.RotateClientSecret(rotation(till.client.id, 0), metadata=admin)
    for secret in (till.client_secret, first.client_secret):
        assert await reason(token(grpc_channel, till.client.id, secret)) == "CREDENTIALS_NOT_VALID"
    await token(grpc_channel, till.client.id, second.client_secret)


@pytest.mark.covers("I6 ClientService.RotateClientSecret")
async def test_a_till_has_two_secrets_at_most(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    first = await grpc_stub.RotateClientSecret(rotation(till.client.id, WEEK), metadata=admin)
    second = await grpc_stub.RotateClientSecret(rotation(till.client.id, WEEK), metadata=admin)
    oldest = token(grpc_channel, till.client.id, till.client_secret)
    assert await reason(oldest) == "CREDENTIALS_NOT_VALID"
    for secret in (first.client_secret, second.client_secret):
        await token(grpc_channel, till.client.id, secret)


async def test_rotations_at_once_leave_the_last_two_secrets(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    replies = await asyncio.gather(
        *(grpc_stub.RotateClientSecret(rotation(till.client.id, WEEK), metadata=admin) for _ in range(12))
    )
    secrets = {reply.client_secret for reply in replies}
    assert len(secrets) == 12
    tries = [token(grpc_channel, till.client.id, secret) for secret in secrets]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 2
    assert len(await actions(platform, till.client.id)) == 13


@pytest.mark.covers("I6 ClientService.RotateClientSecret")
async def test_no_token_is_refused_while_the_secret_is_rotated_under_load(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    kept = till.client_secret
    issued: list[str] = []
    done = asyncio.Event()
    asked = asyncio.Queue[tuple[int, str]]()

    async def fetch(number: int) -> None:
        while not done.is_set():
            secret = kept
            issued.append(await token(grpc_channel, till.client.id, secret))
            asked.put_nowait((number, secret))

    tills = [asyncio.create_task(fetch(number)) for number in range(8)]
    for _ in range(10):
        reply = await grpc_stub.RotateClientSecret(rotation(till.client.id, 60), metadata=admin)
        await asyncio.sleep(0.1)  # the old secret goes on meanwhile
        kept = reply.client_secret
        changed: set[int] = set()
        async with asyncio.timeout(10):
            while len(changed) < len(tills):
                number, secret = await asked.get()
                changed |= {number} if secret == kept else set()
    done.set()
    await asyncio.gather(*tills)
    assert len(issued) >= 80
    purchases = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    for each in (issued[0], issued[-1]):
        call = purchases.RecordPurchase(purchase_pb2.RecordPurchaseRequest(), metadata=bearer(each))
        assert await reason(call) == "VALIDATION_FAILED"


async def test_no_secret_is_kept_or_listed_readable(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    rotated = await grpc_stub.RotateClientSecret(rotation(till.client.id, 60), metadata=admin)

    async def kept(connection: Connection) -> list[str]:
        return await fetch_values(
            connection,
            """
            SELECT clients::text FROM clients WHERE id = %(id)s::uuid
            UNION ALL SELECT audit_entries::text FROM audit_entries WHERE target_id = %(id)s::text
            """,
            id=till.client.id,
        )

    stored = await platform.databases["identity"].read(kept)
    assert len(stored) == 3
    shown = str(await listed(grpc_stub, platform, till.client.id))
    for secret in (till.client_secret, rotated.client_secret):
        readable = (secret, secret.encode().hex())
        assert not any(each in row for each in readable for row in (*stored, shown))


@pytest.mark.covers("I6 ClientService.DisableClient", "I6 ClientService.EnableClient")
async def test_a_disabled_till_gets_no_token_until_it_is_enabled_and_has_another_secret(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    client_id = till.client.id
    assert till.client.enabled
    disable = client_pb2.DisableClientRequest(client_id=client_id)
    for _ in range(2):
        reply = await grpc_stub.DisableClient(disable, metadata=admin)
        assert (reply.client.id, reply.client.enabled) == (client_id, False)
        assert await listed(grpc_stub, platform, client_id) == reply.client
    rotated = await grpc_stub.RotateClientSecret(rotation(client_id, 60), metadata=admin)
    for secret in (till.client_secret, rotated.client_secret):
        assert await reason(token(grpc_channel, client_id, secret)) == "CREDENTIALS_NOT_VALID"
    enable = client_pb2.EnableClientRequest(client_id=client_id)
    for _ in range(2):
        enabled = (await grpc_stub.EnableClient(enable, metadata=admin)).client
        assert enabled == await listed(grpc_stub, platform, client_id)
        enabled.etag = till.client.etag
        assert enabled == till.client
    assert await reason(token(grpc_channel, client_id, till.client_secret)) == "CREDENTIALS_NOT_VALID"
    issued = await token(grpc_channel, client_id, rotated.client_secret)
    assert jwt.decode(issued, options={"verify_signature": False})["sub"] == client_id
    assert await actions(platform, client_id) == [
        "client.created",
        "client.disabled",
        "client.secret_rotated",
        "client.enabled",
    ]


async def test_fifty_who_disable_a_till_at_once_leave_one_audit_entry(
    grpc_stub: Stub,
    platform: Platform,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
) -> None:
    disable = client_pb2.DisableClientRequest(client_id=till.client.id)
    replies = await asyncio.gather(*(grpc_stub.DisableClient(disable, metadata=admin) for _ in range(50)))
    assert not any(reply.client.enabled for reply in replies)
    assert await actions(platform, till.client.id) == ["client.created", "client.disabled"]


async def test_of_fifty_at_once_one_gets_the_name(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    request = client_pb2.CreateClientRequest(display_name=f"Till {new_id()}")
    calls: list[Any] = [grpc_stub.CreateClient(request, metadata=admin) for _ in range(50)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    [made] = [result for result in results if isinstance(result, client_pb2.CreateClientResponse)]
    assert await refusal(grpc_stub.CreateClient(request, metadata=admin)) == (
        "CLIENT_NAME_TAKEN",
        grpc.StatusCode.ALREADY_EXISTS,
        {"display_name": request.display_name},
    )
    assert await actions(platform, made.client.id) == ["client.created"]


def changes(stub: Stub, client_id: str) -> list[tuple[Callable[..., Any], Any]]:
    """Returns every call that names a till."""
    return [
        (stub.RotateClientSecret, rotation(client_id, 0)),
        (stub.DisableClient, client_pb2.DisableClientRequest(client_id=client_id)),
        (stub.EnableClient, client_pb2.EnableClientRequest(client_id=client_id)),
    ]


async def test_only_admins_manage_tills(
    grpc_stub: Stub, platform: Platform, till: client_pb2.CreateClientResponse
) -> None:
    calls: list[tuple[Callable[..., Any], Any]] = [
        *changes(grpc_stub, till.client.id),
        (grpc_stub.CreateClient, client_pb2.CreateClientRequest(display_name="Mine")),
        (grpc_stub.ListClients, client_pb2.ListClientsRequest()),
    ]
    tokens = {
        role: await platform.token(role) for role in ("till", "manager", "cashier", "brand_manager")
    } | {"member": (await platform.member()).token}
    for call, request in calls:
        assert await reason(call(request)) == "TOKEN_MISSING"
        for role, each in tokens.items():
            assert await refusal(call(request, metadata=bearer(each))) == (
                "ROLE_NOT_ALLOWED",
                grpc.StatusCode.PERMISSION_DENIED,
                {"role": role},
            )
    assert await actions(platform, till.client.id) == ["client.created"]


async def test_what_is_not_a_till_is_not_found(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    unknown = str(new_id())
    for call, request in changes(grpc_stub, unknown):
        assert await refusal(call(request, metadata=admin)) == (
            "CLIENT_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"client_id": unknown},
        )
    for call, request in changes(grpc_stub, "till-1"):
        assert await reason(call(request, metadata=admin)) == "VALIDATION_FAILED"
    assert await actions(platform, unknown) == []


@pytest.mark.parametrize("overlap_seconds", [-1, WEEK + 1])
async def test_an_overlap_out_of_range_is_refused(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    till: client_pb2.CreateClientResponse,
    admin: list[tuple[str, str]],
    overlap_seconds: int,
) -> None:
    call = grpc_stub.RotateClientSecret(rotation(till.client.id, overlap_seconds), metadata=admin)
    assert await reason(call) == "VALIDATION_FAILED"
    await token(grpc_channel, till.client.id, till.client_secret)


async def test_a_name_of_blanks_that_only_unicode_knows_is_refused(
    grpc_stub: Stub, admin: list[tuple[str, str]]
) -> None:
    call = grpc_stub.CreateClient(client_pb2.CreateClientRequest(display_name="\u00a0\u3000"), metadata=admin)
    assert await reason(call) == "VALIDATION_FAILED"
