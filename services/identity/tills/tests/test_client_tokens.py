"""Tills: how they are made, and how they get tokens with their id and secret."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import grpc
import jwt
import orjson
import pytest
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, client_pb2, client_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.db import Connection, fetch_value
from services.common.ids import new_id
from tests.inprocess import Platform, bearer, reason, refusal, refused_status

FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[auth_pb2_grpc.AuthServiceStub]:
    return auth_pb2_grpc.AuthServiceStub


@pytest.fixture(scope="module")
def clients(grpc_channel: grpc.aio.Channel) -> client_pb2_grpc.ClientServiceStub:
    """What admins use."""
    return client_pb2_grpc.ClientServiceStub(grpc_channel)


@pytest.fixture
async def till(
    clients: client_pb2_grpc.ClientServiceStub, platform: Platform
) -> client_pb2.CreateClientResponse:
    """A new till with its secret."""
    request = client_pb2.CreateClientRequest(display_name=f"Till {new_id()}")
    return await clients.CreateClient(request, metadata=bearer(await platform.admin()))


def form(**fields: str) -> httpbody_pb2.HttpBody:
    """Returns a body as browsers and OAuth libraries send it."""
    return httpbody_pb2.HttpBody(content_type=FORM, data=urlencode(fields).encode())


def basic(client_id: str, secret: str) -> list[tuple[str, str]]:
    """Returns the credentials as a header (RFC 6749, 2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return [("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]


@pytest.mark.covers("I6 AuthService.IssueClientToken")
async def test_the_form_gets_a_token_that_points_takes(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform, till: client_pb2.CreateClientResponse
) -> None:
    call = grpc_stub.IssueClientToken(
        form(**GRANT, client_id=till.client.id, client_secret=till.client_secret)
    )
    reply = await call
    answer = orjson.loads(reply.data)
    assert reply.content_type == "application/json"
    assert ("cache-control", "no-store") in tuple(await call.initial_metadata())
    assert answer.keys() == {"access_token", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["aud"]) == (till.client.id, "till", "scrip")
    assert claims["exp"] - claims["iat"] == 3600
    purchases = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    refused = purchases.RecordPurchase(
        purchase_pb2.RecordPurchaseRequest(), metadata=bearer(answer["access_token"])
    )
    assert await reason(refused) == "VALIDATION_FAILED"


@pytest.mark.covers("I6 AuthService.IssueClientToken")
async def test_the_credentials_may_come_in_http_basic_form(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
) -> None:
    for scheme in ("Basic", "basic"):
        [(name, value)] = basic(till.client.id, till.client_secret)
        metadata = [(name, value.replace("Basic", scheme))]
        reply = await grpc_stub.IssueClientToken(form(**GRANT), metadata=metadata)
        assert orjson.loads(reply.data)["expires_in"] == 3600


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "grant_type"),
        (b"grant_type=password&client_id=a&client_secret=b", "grant_type"),
        (b"grant_type=client_credentials&grant_type=client_credentials&client_id=a", "grant_type"),
        (b"client_id=a&client_secret=b", "grant_type"),
        (b"grant_type=client_credentials", "client_id"),
        (b"grant_type=client_credentials&client_id=a", "client_secret"),
        (b'{"grant_type": "client_credentials"}', "body"),
        (b"\xff\xfe", "body"),
        (b"&".join(b"x%d=1" % n for n in range(50)), "body"),
    ],
)
async def test_a_form_that_is_not_one_is_refused_with_the_field(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, data: bytes, field: str
) -> None:
    status, code = await refused_status(
        grpc_stub.IssueClientToken(httpbody_pb2.HttpBody(content_type=FORM, data=data))
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.message.startswith(f"{field}: ")


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Basic /w==", "Basic YQ=="])
async def test_a_basic_header_that_is_not_one_is_not_valid(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, header: str
) -> None:
    call = grpc_stub.IssueClientToken(form(**GRANT), metadata=[("authorization", header)])
    assert await reason(call) == "CREDENTIALS_NOT_VALID"


async def test_a_wrong_secret_and_an_unknown_till_look_alike(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
) -> None:
    answers = [
        await refused_status(grpc_stub.IssueClientToken(form(**GRANT, client_id=each, client_secret="wrong")))
        for each in (till.client.id, str(new_id()), "till-1", "\0", "x" * 9_000)
    ]
    assert all(answer == answers[0] for answer in answers)
    assert await reason(grpc_stub.IssueClientToken(form(**GRANT, client_id="x", client_secret="x"))) == (
        "CREDENTIALS_NOT_VALID"
    )


@pytest.mark.covers("I6 AuthService.IssueClientToken")
async def test_wrong_secrets_are_limited_and_the_right_one_is_good_all_the_same(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
) -> None:
    wrong = form(**GRANT, client_id=till.client.id, client_secret="wrong")
    for _ in range(20):
        assert await reason(grpc_stub.IssueClientToken(wrong)) == "CREDENTIALS_NOT_VALID"
    right = form(**GRANT, client_id=till.client.id, client_secret=till.client_secret)
    name, code, metadata = await refusal(grpc_stub.IssueClientToken(wrong))
    assert (name, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert metadata["limit"] == "failed_tokens_per_client"
    # Who knows a till's id can not keep it from selling.
    await grpc_stub.IssueClientToken(right)


async def test_right_secrets_are_not_counted(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
) -> None:
    right = form(**GRANT, client_id=till.client.id, client_secret=till.client_secret)
    for _ in range(25):
        await grpc_stub.IssueClientToken(right)


async def test_however_a_till_spells_its_id_it_is_one_till(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
) -> None:
    known = UUID(till.client.id)
    spellings = (str(known).upper(), known.hex, f"{{{known}}}", known.urn)
    for spelling in spellings:
        body = form(**GRANT, client_id=spelling, client_secret=till.client_secret)
        token = orjson.loads((await grpc_stub.IssueClientToken(body)).data)["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["sub"] == till.client.id
    for n in range(20):
        wrong = form(**GRANT, client_id=spellings[n % 4], client_secret="wrong")
        assert await reason(grpc_stub.IssueClientToken(wrong)) == "CREDENTIALS_NOT_VALID"
    wrong = form(**GRANT, client_id=till.client.id, client_secret="wrong")
    assert await reason(grpc_stub.IssueClientToken(wrong)) == "TOO_MANY_REQUESTS"


@pytest.mark.covers("I6 ClientService.CreateClient")
async def test_the_secret_is_answered_once_and_kept_as_a_hash(
    clients: client_pb2_grpc.ClientServiceStub, platform: Platform, till: client_pb2.CreateClientResponse
) -> None:
    async def kept(connection: Connection) -> bytes:
        query = "SELECT secret_hash FROM clients WHERE id = %(id)s"
        return bytes(await fetch_value(connection, query, id=till.client.id))

    stored = await platform.databases["identity"].read(kept)
    assert len(stored) == 32
    assert till.client_secret.encode() not in stored
    assert len(till.client_secret) >= 43
    listed = await clients.ListClients(
        client_pb2.ListClientsRequest(page_size=200), metadata=bearer(await platform.admin())
    )
    assert till.client_secret not in str(listed)


@pytest.mark.covers("I6 ClientService.CreateClient")
async def test_names_are_unique_even_at_once_and_blanks_around_them_do_not_count(
    clients: client_pb2_grpc.ClientServiceStub, platform: Platform
) -> None:
    name, metadata = f"Till {new_id()}", bearer(await platform.admin())
    calls: list[Any] = [
        clients.CreateClient(client_pb2.CreateClientRequest(display_name=each), metadata=metadata)
        for each in (name, f"  {name}", f"{name}\t") * 7
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    made = [result for result in results if isinstance(result, client_pb2.CreateClientResponse)]
    assert [each.client.display_name for each in made] == [name]
    again = clients.CreateClient(client_pb2.CreateClientRequest(display_name=name), metadata=metadata)
    assert await refusal(again) == (
        "CLIENT_NAME_TAKEN",
        grpc.StatusCode.ALREADY_EXISTS,
        {"display_name": name},
    )


@pytest.mark.parametrize("name", ["", "  \t", "x" * 121, "a\0b"])
async def test_names_that_are_none_are_refused(
    clients: client_pb2_grpc.ClientServiceStub, platform: Platform, name: str
) -> None:
    call = clients.CreateClient(
        client_pb2.CreateClientRequest(display_name=name), metadata=bearer(await platform.admin())
    )
    assert await reason(call) == "VALIDATION_FAILED"


@pytest.mark.covers("I6 ClientService.ListClients")
async def test_tills_are_listed_by_name_page_by_page_each_once(
    clients: client_pb2_grpc.ClientServiceStub, platform: Platform
) -> None:
    metadata = bearer(await platform.admin())
    mark = str(new_id())
    names = [f"Lane {mark} {letter}" for letter in "dbeacf"]
    for name in names:
        await clients.CreateClient(client_pb2.CreateClientRequest(display_name=name), metadata=metadata)
    found: list[str] = []
    token = ""
    while True:
        request = client_pb2.ListClientsRequest(page_size=4, page_token=token)
        page = await clients.ListClients(request, metadata=metadata)
        found += [client.display_name for client in page.clients]
        token = page.next_page_token
        if not token:
            break
        assert len(page.clients) == 4
    assert found == sorted(found)
    assert len(found) == len(set(found))
    assert [name for name in found if mark in name] == sorted(names)


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_the_published_keys_verify_tokens_and_hold_nothing_private(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    call = grpc_stub.GetJwks(auth_pb2.GetJwksRequest())
    reply = await call
    assert reply.content_type == "application/json"
    assert ("cache-control", "public, max-age=60") in tuple(await call.initial_metadata())
    keys = orjson.loads(reply.data)["keys"]
    assert keys
    for key in keys:
        assert key.keys() == {"kty", "use", "alg", "kid", "n", "e"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
        assert len(base64.urlsafe_b64decode(key["n"] + "==")) >= 256
    token = await platform.till()
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    [key] = [jwt.PyJWK(key) for key in keys if key["kid"] == header["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="scrip", issuer="scrip")
    assert claims["role"] == "till"
