"""What Envoy itself refuses looks like what services refuse, and reaches no service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.edge.edge import Edge
from tests.edge.refusals import reason_in_json

LIMIT, BATCH_LIMIT = 1 << 20, 8 << 20
ITEM = "items[0].quantity"
BODIES = (
    "application/json",
    "text/csv",
    "application/grpc-web+proto",
    "application/grpc;x",
    "application/grpcx",
)


@pytest.fixture(autouse=True)
def reaches_no_service(edge: Edge) -> Iterator[None]:
    """No request of this module reaches a service."""
    before = len(edge.main.calls)
    yield
    assert len(edge.main.calls) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing?secret=1"),
        ("GET", "/?secret=1"),
        ("PUT", "/v1/members/me"),
        ("GET", "/v1/otps?secret=1"),
        ("POST", "/v1/members/me:forget"),
        ("GET", "/metrics?secret=1"),
        ("GET", "/ready?secret=1"),
        ("GET", "/stats?secret=1"),
        ("POST", "/quitquitquit"),
    ],
)
async def test_unknown_paths_and_wrong_methods_are_404(edge: Edge, method: str, path: str) -> None:
    answer = await edge.http.request(method, path)
    assert answer.status_code == 404
    assert reason_in_json(answer) == "ROUTE_NOT_FOUND"
    assert answer.json()["code"] == 5
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        pytest.param("/v1/otps", '{"phone":', "end of string", id="cut-off"),
        pytest.param("/v1/otps", "nonsense", "Unexpected token", id="not-json"),
        pytest.param("/v1/otps", '["phone"]', "must be a message", id="not-an-object"),
        pytest.param("/v1/otps", '{"phone": 5}', "phone", id="number-for-text"),
        pytest.param("/v1/otps", '{"phone": {"a": 1}}', "phone", id="object-for-text"),
        pytest.param("/v1/otps", '{"purpose": "NOPE"}', "purpose", id="unknown-enum"),
        pytest.param("/v1/purchases", '{"items": [{"quantity": "x"}]}', ITEM, id="text-for-int"),
        pytest.param("/v1/purchases", '{"items": [{"quantity": 1e12}]}', ITEM, id="int-overflow"),
        pytest.param("/v1/purchases", '{"items": [{"quantity": 1.5}]}', ITEM, id="fraction"),
        pytest.param("/v1/purchases", '{"sold_at": "yesterday"}', "sold_at", id="not-a-time"),
    ],
)
async def test_bodies_that_do_not_fit_are_400_and_say_where(
    edge: Edge, path: str, body: str, named: str
) -> None:
    answer = await edge.http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"
    assert answer.json()["code"] == 3
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("page_size=2&nope=1", '"nope"'),
        ("page_size=x", "page_size"),
        ("kind=NOPE", "kind"),
        ("access_token=x", '"access_token"'),
    ],
)
async def test_query_parameters_that_do_not_fit_are_400_and_named(edge: Edge, query: str, named: str) -> None:
    answer = await edge.http.get(f"/v1/members/me/points/entries?{query}")
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"
    assert named in answer.json()["message"]


async def test_a_body_that_contradicts_the_path_is_400(edge: Edge) -> None:
    before = len(edge.promos.calls)
    answer = await edge.http.post("/v1/redemptions/r-1:cancel", json={"redemption_id": "r-2"})
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"
    assert len(edge.promos.calls) == before


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/redemptions/r-1:cancel?redemption_id=secret"),
        ("POST", "/v1/redemptions/r%3F1:cancel?secret"),
        ("POST", "/v1/purchases:batch?purchases.receipt_number=secret"),
        ("POST", "/v1/oauth/token?client_secret=secret"),
        ("PATCH", "/v1/members/me?full_name=secret"),
        ("PUT", "/v1/members/me/consent?shares_contact=true"),
        ("POST", "/v1/nothing?secret=1"),
        ("POST", "/v1/otps?"),
    ],
)
async def test_a_query_beside_a_body_is_400(edge: Edge, method: str, path: str, kind: str) -> None:
    before = len(edge.promos.calls)
    answer = await edge.http.request(method, path, content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"
    assert answer.json()["code"] == 3
    (violation,) = answer.json()["details"][1]["field_violations"]
    assert violation["field"] == "query"
    assert "secret" not in answer.text
    assert len(edge.promos.calls) == before


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
async def test_who_only_says_grpc_gets_no_query_past(edge: Edge, kind: str) -> None:
    before = len(edge.promos.calls)
    path = "/v1/redemptions/r-1:cancel?redemption_id=r-2"
    answer = await edge.http.post(path, content=b"{}", headers={"content-type": kind})
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNIMPLEMENTED.value[0])
    assert len(edge.promos.calls) == before


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield b" " * 65536


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(edge: Edge, chunked: bool) -> None:
    content = _chunks(LIMIT) if chunked else b" " * (LIMIT + 1)
    answer = await edge.http.post("/v1/otps", content=content)
    assert answer.status_code == 413
    assert reason_in_json(answer) == "REQUEST_TOO_LARGE"
    assert answer.json()["code"] == 3


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_batch_over_its_own_limit_is_413(edge: Edge, chunked: bool) -> None:
    content = _chunks(BATCH_LIMIT) if chunked else b" " * (BATCH_LIMIT + 1)
    answer = await edge.http.post("/v1/purchases:batch", content=content)
    assert answer.status_code == 413
    assert reason_in_json(answer) == "REQUEST_TOO_LARGE"
    assert answer.json()["details"][0]["metadata"] == {"limit_bytes": str(BATCH_LIMIT)}


async def test_escaped_slashes_are_refused(edge: Edge) -> None:
    for path in ("/v1/members%2fme", "/v1/members%5Cme", "/v1/nothing/..%2fmembers/me"):
        answer = await edge.http.get(path)
        assert answer.status_code == 400
        assert reason_in_json(answer) == "VALIDATION_FAILED"


async def test_header_names_with_underscores_are_refused(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me", headers={"x_scrip_role": "admin"})
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"


async def test_too_many_or_too_large_headers_are_refused(edge: Edge) -> None:
    for headers in ({f"h-{n}": "1" for n in range(200)}, {"h": "x" * 40_000}):
        answer = await edge.http.get("/v1/members/me", headers=headers)
        assert answer.status_code == 431
        assert reason_in_json(answer) == "VALIDATION_FAILED"
