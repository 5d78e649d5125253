"""Refusals of the token endpoint have the shape of RFC 6749, section 5.2, whoever makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from stack.settings import Settings
from tests.edge import upstream
from tests.edge.edge import Edge, Node, limits, running
from tests.edge.refusals import in_json, over_grpc

PATH = "/v1/oauth/token"
ALLOWED = {chr(code) for code in range(0x20, 0x7F)} - {'"', "\\"}
"""Characters of an error_description."""


def _form(secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": "till", "client_secret": secret}


def _error(answer: httpx.Response) -> str:
    """Returns the error of a refusal, which must be as the RFC says."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith(("grpc-", "x-oauth-", "x-scrip-"))]
    body: dict[str, str] = answer.json()
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"]
    assert set(body["error_description"]) <= ALLOWED
    return body["error"]


@pytest.mark.covers("I7 AuthService.IssueClientToken")
async def test_a_wrong_secret_is_invalid_client_and_asks_for_basic(edge: Edge) -> None:
    answer = await edge.http.post(PATH, data=_form("wrong"))
    assert (answer.status_code, _error(answer)) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith('Basic realm="scrip"')
    assert answer.json()["error_description"] == "no such till, or a 'wrong' secret"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_other_errors_are_400_with_the_name_that_the_service_gives(edge: Edge, encoding: str) -> None:
    answer = await edge.http.post(PATH, data=_form("odd"), headers={"accept-encoding": encoding})
    assert (answer.status_code, _error(answer)) == (400, "unsupported_grant_type")
    assert "www-authenticate" not in answer.headers
    assert answer.json()["error_description"].startswith("grant_type: must be this")


async def test_who_tries_too_often_keeps_429(edge: Edge) -> None:
    answer = await edge.http.post(PATH, data=_form("busy"))
    assert (answer.status_code, _error(answer)) == (429, "temporarily_unavailable")


async def test_a_token_is_given_as_ever(edge: Edge) -> None:
    answer = await edge.http.post(PATH, data=_form("right"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["body"].endswith("client_secret=right")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"params": {"client_secret": "s"}, "data": _form("right")}, 400, id="a-query"),
        pytest.param({"content": b"x" * 2_000_000}, 413, id="too-large"),
        pytest.param({"headers": {"x-large": "x" * 20_000}}, 431, id="headers-too-large"),
    ],
)
async def test_what_the_edge_refuses_is_an_invalid_request(
    edge: Edge, sent: dict[str, Any], status: int
) -> None:
    answer = await edge.http.post(PATH, **sent)
    assert (answer.status_code, _error(answer)) == (status, "invalid_request")


async def test_callers_over_grpc_see_a_status_like_any_other(edge: Edge, channel: grpc.aio.Channel) -> None:
    method: Any = channel.unary_unary("/scrip.identity.v1.AuthService/IssueClientToken")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(upstream.client_token_request("wrong"))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert over_grpc(caught.value).message == 'no such till, or a "wrong" secret'


async def test_another_path_and_method_keep_their_shape(edge: Edge) -> None:
    for method, path in (("GET", PATH), ("POST", f"{PATH}s"), ("POST", "/v1/members")):
        in_json(await edge.http.request(method, path, headers={"content-type": "application/json"}))


def _tight(config: Node, settings: Settings) -> None:
    limits(config)["nobody"] |= {"max_tokens": 8, "tokens_per_fill": 1, "fill_interval": "600s"}


@pytest_asyncio.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge that is quick to refuse."""
    async with running(tmp_path, _tight) as started:
        yield started


async def test_what_the_edge_has_no_room_for_is_temporarily_unavailable(tight: Edge) -> None:
    await tight.main.stop()
    try:
        away = await tight.http.post(PATH, data=_form("right"))
        assert (away.status_code, _error(away)) == (503, "temporarily_unavailable")
        assert away.headers["retry-after"] == "1"
        answer = away
        for _ in range(8):
            answer = await tight.http.post(PATH, data=_form("right"))
        assert (answer.status_code, _error(answer)) == (429, "temporarily_unavailable")
        assert answer.headers["retry-after"] == "1"
    finally:
        await tight.main.start()
