"""Tills: how they are made, and how they get tokens with their id and secret."""

from __future__ import annotations

import asyncio
import base64
import re
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


def form(**fields: str) -> auth_pb2.IssueClientTokenRequest:
    """Returns a request as browsers and OAuth libraries send it."""
    return request(urlencode(fields).encode())


def request(data: bytes, content_type: str = FORM) -> auth_pb2.IssueClientTokenRequest:
    return auth_pb2.IssueClientTokenRequest(form=httpbody_pb2.HttpBody(content_type=content_type, data=data))


async def word(call: Any) -> tuple[str, grpc.StatusCode]:
    """Returns the word of RFC 6749 (5.2) with which a call was refused, and its status code."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    [found] = [value for key, value in caught.value.trailing_metadata() or () if key == "x-oauth-error"]
    assert await reason(_again(caught.value)), "it has a reason like every refusal"
    details = caught.value.details() or ""
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", details), "of characters that the RFC allows"
    return str(found), caught.value.code()


async def _again(error: grpc.aio.AioRpcError) -> None:
    raise error


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
    headers = tuple(await call.initial_metadata())
    assert ("cache-control", "no-store") in headers
    assert ("pragma", "no-cache") in headers
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
        (b"grant_type=&client_id=a&client_secret=b", "grant_type"),
        (b"grant_type=client_credentials&client_id=a&client_id=b&client_secret=b", "client_id"),
        (b"grant_type=client_credentials&client_id=a&client_secret=b&scope=all", "scope"),
        (b'{"grant_type": "client_credentials"}', "body"),
        (b"\xff\xfe", "body"),
        (b"grant_type=%ff", "body"),
        (b"&".join(b"x%d=1" % n for n in range(50)), "body"),
    ],
)
async def test_a_form_that_is_not_one_is_refused_with_the_field(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, data: bytes, field: str
) -> None:
    status, code = await refused_status(grpc_stub.IssueClientToken(request(data)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.message.startswith(f"{field}: ")


class TestWordsOfTheRfc:
    """RFC 6749, 5.2: which word each refusal has. The edge makes its JSON of it."""

    INVALID, UNAUTHENTICATED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED

    @pytest.mark.covers("I6 AuthService.IssueClientToken")
    @pytest.mark.parametrize(
        ("data", "wanted"),
        [
            (b"client_id=a&client_secret=b", "invalid_request"),
            (b"grant_type=&client_id=a&client_secret=b", "invalid_request"),
            (b"grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
            (b"grant_type=client_credentials&x=1&x=2&client_id=a&client_secret=b", "invalid_request"),
            (b"grant_type", "invalid_request"),
            (b"grant_type=password&client_id=a&client_secret=b", "unsupported_grant_type"),
            (b"grant_type=client_credentials&client_id=a&client_secret=b&scope=all", "invalid_scope"),
            (b"grant_type=client_credentials", "invalid_client"),
            (b"grant_type=client_credentials&client_id=a", "invalid_client"),
            (b"grant_type=client_credentials&client_id=a&client_secret=", "invalid_client"),
            (b"grant_type=client_credentials&client_id=a&client_secret=b", "invalid_client"),
        ],
    )
    async def test_of_a_form(
        self, grpc_stub: auth_pb2_grpc.AuthServiceStub, data: bytes, wanted: str
    ) -> None:
        code = self.UNAUTHENTICATED if wanted == "invalid_client" else self.INVALID
        assert await word(grpc_stub.IssueClientToken(request(data))) == (wanted, code)

    async def test_of_two_ways_to_prove_it(
        self, grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
    ) -> None:
        header, client_id = basic(till.client.id, till.client_secret), till.client.id
        for fields in (
            {"client_id": client_id, "client_secret": till.client_secret},
            {"client_secret": till.client_secret},
            {"client_id": str(new_id())},
        ):
            call = grpc_stub.IssueClientToken(form(**GRANT, **fields), metadata=header)
            assert await word(call) == ("invalid_request", self.INVALID)
        # To name the client in the form too is no second way, and an empty scope is none.
        await grpc_stub.IssueClientToken(form(**GRANT, client_id=client_id, scope=""), metadata=header)

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "text/plain", f"{FORM}; charset=iso-8859-1", "multipart/form-data"],
    )
    async def test_of_another_encoding(
        self,
        grpc_stub: auth_pb2_grpc.AuthServiceStub,
        till: client_pb2.CreateClientResponse,
        content_type: str,
    ) -> None:
        data = urlencode(GRANT | {"client_id": till.client.id, "client_secret": till.client_secret}).encode()
        call = grpc_stub.IssueClientToken(request(data, content_type))
        assert await word(call) == ("invalid_request", self.INVALID)
        for good in (FORM, f"{FORM};charset=UTF-8", FORM.upper(), ""):
            await grpc_stub.IssueClientToken(request(data, good))

    async def test_of_a_header_that_is_not_one(self, grpc_stub: auth_pb2_grpc.AuthServiceStub) -> None:
        for header in ("Basic", "Basic %%%", "Bearer x"):
            call = grpc_stub.IssueClientToken(form(**GRANT), metadata=[("authorization", header)])
            assert await word(call) == ("invalid_client", self.UNAUTHENTICATED)

    async def test_of_too_many_tries(
        self, grpc_stub: auth_pb2_grpc.AuthServiceStub, till: client_pb2.CreateClientResponse
    ) -> None:
        wrong = form(**GRANT, client_id=till.client.id, client_secret="wrong")
        for _ in range(20):
            assert (await word(grpc_stub.IssueClientToken(wrong)))[0] == "invalid_client"
        call = grpc_stub.IssueClientToken(wrong)
        assert await word(call) == ("temporarily_unavailable", grpc.StatusCode.RESOURCE_EXHAUSTED)


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
