"""Who sends too much has to wait, and nobody else has."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from stack.settings import Settings
from tests.edge import upstream
from tests.edge.edge import Edge, Node, limits, nodes_with, running
from tests.edge.refusals import in_json, over_grpc, reason_over_grpc

PERSON, TILL, SHARED = 3, 8, 5
PATH = "/v1/members/me"


def _tight(config: Node, settings: Settings) -> None:
    (limiter,) = nodes_with(config, "descriptors")
    limiter["token_bucket"] |= {"max_tokens": SHARED, "tokens_per_fill": 1, "fill_interval": "600s"}
    for role, bucket in limits(config).items():
        # Refilled so slowly that no test sees it.
        size = TILL if role == "till" else PERSON
        bucket |= {"max_tokens": size, "tokens_per_fill": 1, "fill_interval": "600s"}


@pytest_asyncio.fixture(scope="module")
async def tight(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """An edge that is quick to refuse."""
    async with running(tmp_path_factory.mktemp("edge"), _tight) as started:
        yield started


async def _send(http: httpx.AsyncClient, count: int, **headers: str) -> Counter[int]:
    answers = [await http.get(PATH, headers=headers) for _ in range(count)]
    return Counter(answer.status_code for answer in answers)


def _bearer(subject: str, role: str = "member", session: str = "session-1") -> str:
    return f"Bearer {upstream.token(subject, role, session=session)}"


async def test_a_subject_has_a_bucket_of_its_own(tight: Edge) -> None:
    ann, ben = _bearer("ann"), _bearer("ben")
    assert await _send(tight.http, PERSON + 2, authorization=ann) == {200: PERSON, 429: 2}
    assert await _send(tight.http, PERSON, authorization=ben) == {200: PERSON}
    # Another token, the same subject.
    assert await _send(tight.http, 1, authorization=_bearer("ann", session="other device")) == {429: 1}
    # The scheme's letter case does not matter (RFC 9110).
    assert await _send(tight.http, 1, authorization=ben.replace("Bearer", "bearer")) == {429: 1}


async def test_a_subject_has_one_bucket_wherever_it_calls_from(tight: Edge) -> None:
    token = _bearer("traveller")
    async with tight.client("127.0.0.9") as elsewhere:
        assert await _send(tight.http, PERSON, authorization=token) == {200: PERSON}
        assert await _send(elsewhere, 1, authorization=token) == {429: 1}


async def test_tills_may_send_more(tight: Edge) -> None:
    token = _bearer("till-1", "till")
    assert await _send(tight.http, TILL + 2, authorization=token) == {200: TILL, 429: 2}


async def test_without_a_token_the_address_counts(tight: Edge) -> None:
    async with tight.client("127.0.0.2") as one, tight.client("127.0.0.3") as other:
        assert await _send(one, PERSON + 2) == {200: PERSON, 429: 2}
        assert await _send(other, PERSON) == {200: PERSON}
        # A good token is not held back by what others at this address did.
        assert await _send(one, 1, authorization=_bearer("dora")) == {200: 1}


async def test_nobody_chooses_a_bucket(tight: Edge) -> None:
    async with tight.client("127.0.0.4") as http:
        assert await _send(http, PERSON) == {200: PERSON}
        forged = {
            "x-forwarded-for": "10.0.0.1",
            "x-envoy-external-address": "10.0.0.1",
            "x-real-ip": "10.0.0.1",
            "x-user-id": "eve",
            "x-scrip-role": "till",
        }
        assert await _send(http, 1, **forged) == {429: 1}
        bad = [
            upstream.token("eve", seconds=-1000),
            upstream.token("eve", "till", key=upstream.new_key()),
            upstream.token("eve", "till", audience="scrip-internal"),
            "nonsense",
        ]
        for token in bad:
            assert await _send(http, 1, authorization=f"Bearer {token}") == {429: 1}


async def test_unknown_roles_share_one_bucket(tight: Edge) -> None:
    robots = [_bearer(f"robot-{number}", "robot") for number in range(SHARED + 1)]
    answers = [await _send(tight.http, 1, authorization=robot) for robot in robots]
    assert answers == [{200: 1}] * SHARED + [{429: 1}]


async def test_the_refusal_says_when_to_retry(tight: Edge) -> None:
    async with tight.client("127.0.0.5") as http:
        await _send(http, PERSON)
        answer = await http.get(PATH)
    assert answer.headers["retry-after"] == "1"
    body = in_json(answer)
    assert body["code"] == 8
    info, retry = body["details"]
    assert info["reason"] == "TOO_MANY_REQUESTS"
    assert info["metadata"] == {"limit": "edge_requests", "retry_after_seconds": "1"}
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"}


async def test_grpc_callers_learn_the_same(tight: Edge) -> None:
    metadata = (("authorization", _bearer("fay")),)
    async with grpc.aio.insecure_channel(tight.target) as channel:
        stub = member_pb2_grpc.MemberServiceStub(channel)
        for _ in range(PERSON):
            await stub.GetMe(member_pb2.GetMeRequest(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetMe(member_pb2.GetMeRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_over_grpc(caught.value) == "TOO_MANY_REQUESTS"
    retry = error_details_pb2.RetryInfo()
    assert over_grpc(caught.value).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


async def test_browsers_may_always_ask(tight: Edge) -> None:
    asked = {"origin": "http://localhost:5173", "access-control-request-method": "GET"}
    async with tight.client("127.0.0.6") as http:
        await _send(http, PERSON + 1)
        assert (await http.options(PATH, headers=asked)).status_code == 200
        assert (await http.get(PATH, headers=asked)).headers["access-control-allow-origin"]
