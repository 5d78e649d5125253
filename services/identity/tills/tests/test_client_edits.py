"""Changing and deleting tills, lists of them, and etags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from scrip.common.v1 import list_pb2
from scrip.identity.v1 import client_pb2, client_pb2_grpc

from services.common.ids import new_id
from services.identity.tests.people import DONE, outcomes, tally
from services.identity.tests.staff_help import actions
from services.identity.tills.tests.test_clients import token
from tests.inprocess import Platform, bearer, reason, refusal

Stub = client_pb2_grpc.ClientServiceStub
Create, Update = client_pb2.CreateClientRequest, client_pb2.UpdateClientRequest
Delete = client_pb2.DeleteClientRequest


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


@pytest.fixture
async def made(grpc_stub: Stub, admin: list[tuple[str, str]]) -> client_pb2.CreateClientResponse:
    """A new till with its secret."""
    return await grpc_stub.CreateClient(Create(display_name=f"Till {new_id()}"), metadata=admin)


@pytest.mark.covers("I6 ClientService.GetClient", "I6 ClientService.UpdateClient")
async def test_a_till_gets_another_name_and_sells_on(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
    made: client_pb2.CreateClientResponse,
) -> None:
    till, name = made.client, f"Till {new_id()}"
    changed = (
        await grpc_stub.UpdateClient(Update(client_id=till.id, display_name=f" {name} "), metadata=admin)
    ).client
    assert (changed.display_name, changed.enabled) == (name, True)
    assert changed.etag != till.etag
    read = await grpc_stub.GetClient(client_pb2.GetClientRequest(client_id=till.id), metadata=admin)
    assert read.client == changed
    for same in (Update(client_id=till.id, display_name=name), Update(client_id=till.id)):
        assert (await grpc_stub.UpdateClient(same, metadata=admin)).client == changed
    await token(grpc_channel, till.id, made.client_secret)
    assert await actions(platform, till.id) == ["client.created", "client.updated"]


async def test_a_name_that_another_till_has_is_refused(
    grpc_stub: Stub, admin: list[tuple[str, str]], made: client_pb2.CreateClientResponse
) -> None:
    name = f"Till {new_id()}"
    await grpc_stub.CreateClient(Create(display_name=name), metadata=admin)
    call = grpc_stub.UpdateClient(Update(client_id=made.client.id, display_name=name), metadata=admin)
    assert await refusal(call) == (
        "CLIENT_NAME_TAKEN",
        grpc.StatusCode.ALREADY_EXISTS,
        {"display_name": name},
    )


async def test_of_many_tills_that_want_one_name_at_once_one_gets_it(
    grpc_stub: Stub, admin: list[tuple[str, str]]
) -> None:
    name = f"Till {new_id()}"
    tills = [
        (await grpc_stub.CreateClient(Create(display_name=f"Till {new_id()}"), metadata=admin)).client.id
        for _ in range(8)
    ]
    results = await outcomes(
        grpc_stub.UpdateClient(Update(client_id=till, display_name=name), metadata=admin) for till in tills
    )
    assert tally(results) == {DONE: 1, "CLIENT_NAME_TAKEN": 7}


@pytest.mark.covers("I6 ClientService.DeleteClient")
async def test_a_deleted_till_gets_no_token_is_not_found_and_its_name_is_free(
    grpc_stub: Stub,
    grpc_channel: grpc.aio.Channel,
    platform: Platform,
    admin: list[tuple[str, str]],
    made: client_pb2.CreateClientResponse,
) -> None:
    till = made.client
    await token(grpc_channel, till.id, made.client_secret)
    await grpc_stub.DeleteClient(Delete(client_id=till.id), metadata=admin)
    gone = token(grpc_channel, till.id, made.client_secret)
    assert await reason(gone) == "CREDENTIALS_NOT_VALID"
    for call in (
        grpc_stub.GetClient(client_pb2.GetClientRequest(client_id=till.id), metadata=admin),
        grpc_stub.DeleteClient(Delete(client_id=till.id), metadata=admin),
        grpc_stub.EnableClient(client_pb2.EnableClientRequest(client_id=till.id), metadata=admin),
        grpc_stub.RotateClientSecret(client_pb2.RotateClientSecretRequest(client_id=till.id), metadata=admin),
        grpc_stub.UpdateClient(Update(client_id=till.id, display_name="X"), metadata=admin),
    ):
        assert await refusal(call) == (
            "CLIENT_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"client_id": till.id},
        )
    listed = client_pb2.ListClientsRequest(query=till.display_name, with_total=True)
    reply = await grpc_stub.ListClients(listed, metadata=admin)
    assert (len(reply.clients), reply.total.count) == (0, 0)
    again = await grpc_stub.CreateClient(Create(display_name=till.display_name), metadata=admin)
    assert again.client.id != till.id
    assert await actions(platform, till.id) == ["client.created", "client.deleted"]


CHANGES: list[tuple[str, Callable[[str, str], Any]]] = [
    ("UpdateClient", lambda till, etag: Update(client_id=till, etag=etag, display_name=f"Till {new_id()}")),
    (
        "RotateClientSecret",
        lambda till, etag: client_pb2.RotateClientSecretRequest(client_id=till, etag=etag),
    ),
    ("DisableClient", lambda till, etag: client_pb2.DisableClientRequest(client_id=till, etag=etag)),
    ("EnableClient", lambda till, etag: client_pb2.EnableClientRequest(client_id=till, etag=etag)),
    ("DeleteClient", lambda till, etag: Delete(client_id=till, etag=etag)),
]


@pytest.mark.covers("I6 ClientService.RotateClientSecret", "I6 ClientService.EnableClient")
async def test_each_change_needs_the_etag_as_it_is_and_gives_another(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]], made: client_pb2.CreateClientResponse
) -> None:
    till, etag, old = made.client.id, made.client.etag, "0"
    for rpc, request in CHANGES:
        call = getattr(grpc_stub, rpc)
        refused = await refusal(call(request(till, old), metadata=admin))
        assert refused == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": etag}), rpc
        reply = await call(request(till, etag), metadata=admin)
        if rpc != "DeleteClient":
            assert reply.client.etag not in (etag, old), rpc
            etag, old = reply.client.etag, etag
    assert len(await actions(platform, till)) == 1 + len(CHANGES), "what is refused leaves no entry"


async def test_of_many_rotations_by_one_etag_one_is_made(
    grpc_stub: Stub, admin: list[tuple[str, str]], made: client_pb2.CreateClientResponse
) -> None:
    request = client_pb2.RotateClientSecretRequest(client_id=made.client.id, etag=made.client.etag)
    results = await outcomes(grpc_stub.RotateClientSecret(request, metadata=admin) for _ in range(10))
    assert tally(results) == {DONE: 1, "ETAG_MISMATCH": 9}


@pytest.mark.covers("I6 ClientService.ListClients")
async def test_tills_are_searched_filtered_sorted_and_counted(
    grpc_stub: Stub, admin: list[tuple[str, str]]
) -> None:
    mark = f"Store {new_id()}"
    b, a, c = [
        (await grpc_stub.CreateClient(Create(display_name=f"{mark} {name}"), metadata=admin)).client.id
        for name in "bac"
    ]
    await grpc_stub.DisableClient(client_pb2.DisableClientRequest(client_id=c), metadata=admin)

    async def listed(**fields: Any) -> list[str]:
        found, page_token = [], ""
        while True:
            asked = {"query": mark.lower(), "page_size": 1, "page_token": page_token, **fields}
            page = await grpc_stub.ListClients(client_pb2.ListClientsRequest(**asked), metadata=admin)
            found += [client.id for client in page.clients]
            page_token = page.next_page_token
            if not page_token:
                return found

    assert await listed() == await listed(order_by="display_name") == [a, b, c]
    assert await listed(order_by="display_name desc") == [c, b, a]
    assert await listed(order_by="created_at") == [b, a, c]
    assert await listed(order_by="created_at desc") == [c, a, b]
    assert await listed(enabled=True) == [a, b]
    assert await listed(enabled=False) == [c]
    assert await listed(query=f"{mark} b") == [b]
    counted = client_pb2.ListClientsRequest(query=mark, page_size=1, with_total=True)
    assert (await grpc_stub.ListClients(counted, metadata=admin)).total == list_pb2.ListTotal(count=3)
