"""What Envoy itself refuses looks like what services refuse, and reaches no service."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.edge.edge import Edge
from tests.edge.refusals import reason_in_json

LIMIT, IMAGE_LIMIT, BATCH_LIMIT = 1 << 20, 2 << 20, 8 << 20
CANCEL = "/v1/redemptions/r-1:cancel"
ITEM, FLAG = "items[0].quantity", "items[0].alcohol"
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
    ("path", "body", "field", "wrong"),
    [
        pytest.param("/v1/otps", '{"phone":', "request", "must be JSON: Unexpected end", id="cut-off"),
        pytest.param("/v1/otps", "nonsense", "request", "must be JSON: Unexpected token", id="not-json"),
        pytest.param("/v1/otps", b'{"phone": "\xff"}', "request", "must be JSON", id="not-utf-8"),
        pytest.param("/v1/otps", '{"phone" "1"}', "request", "must be JSON: Expected :", id="no-colon"),
        pytest.param("/v1/otps", '{"phone": "1"} 2', "request", "must be JSON", id="more-than-one"),
        pytest.param("/v1/otps", '{"phone":' * 200, "request", "too deeply", id="too-deep"),
        pytest.param("/v1/otps", '["phone"]', "request", "must be a JSON object", id="not-an-object"),
        pytest.param("/v1/otps", '{"phone": 5}', "phone", "must be a text", id="number-for-text"),
        pytest.param("/v1/otps", '{"phone": {"a": 1}}', "phone", "not be an object", id="object-for-text"),
        pytest.param("/v1/otps", '{"phone": {"\\"}, :": 1}}', "phone", "not be an object", id="quotes"),
        pytest.param("/v1/otps", '{"phone": ["1"]}', "request", "has a list", id="list-for-text"),
        pytest.param("/v1/otps", '{"purpose": "NOPE"}', "purpose", "one of the values", id="unknown-enum"),
        pytest.param("/v1/purchases", '{"items": [{"quantity": "x"}]}', ITEM, "number", id="no-number"),
        pytest.param("/v1/purchases", '{"items": [{"quantity": {}}]}', ITEM, "object", id="object-in-a-list"),
        pytest.param("/v1/purchases", '{"items": [{"alcohol": "x"}]}', FLAG, "true or false", id="no-flag"),
        pytest.param("/v1/purchases", '{"items": ["1"]}', "items[0]", "", id="text-for-object"),
        pytest.param("/v1/purchases", '{"sold_at": "yesterday"}', "sold_at", "a time such as", id="no-time"),
        pytest.param(CANCEL, '{"redemption_id": "r-2"}', "redemption_id", "the path", id="not-the-path"),
    ],
)
async def test_bodies_that_do_not_fit_are_400_and_say_where_and_how(
    edge: Edge, path: str, body: str | bytes, field: str, wrong: str
) -> None:
    for encoding in ("gzip", "identity"):
        headers = {"content-type": "application/json", "accept-encoding": encoding}
        answer = await edge.http.post(path, content=body, headers=headers)
        assert answer.status_code == 400
        assert reason_in_json(answer) == "VALIDATION_FAILED"
        assert answer.json()["code"] == 3
        (violation,) = answer.json()["details"][1]["field_violations"]
        assert violation["field"] == field
        assert wrong in violation["description"]
        assert answer.json()["message"] == f"{field}: {violation['description']}"
        assert not re.search(r"TYPE_|type\.googleapis\.com/scrip|INVALID_ARGUMENT|Proto|::", answer.text)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=2&nope=1", "nope"),
        ("page_size=x", "page_size"),
        ("page_size=1e12", "page_size"),
        ("kind=NOPE", "kind"),
        ("access_token=x", "access_token"),
        ("a%22b=x", "query"),
        ("page_size.x=1", "page_size"),
    ],
)
async def test_query_parameters_that_do_not_fit_are_400_and_named(edge: Edge, query: str, field: str) -> None:
    answer = await edge.http.get(f"/v1/members/me/points/entries?{query}")
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"
    (violation,) = answer.json()["details"][1]["field_violations"]
    assert violation["field"] == field
    assert not re.search(r"TYPE_|scrip\.points|INVALID_ARGUMENT", answer.text)


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


@pytest.mark.parametrize("path", ["/v1/brands/b-1/logo", "/v1/stores/s-1/logo", "/v1/vouchers/v-1/images"])
async def test_an_image_over_its_own_limit_is_413(edge: Edge, path: str) -> None:
    under = await edge.http.post(path, content=b" " * IMAGE_LIMIT)
    assert under.status_code != 413
    over = await edge.http.post(path, content=b" " * (IMAGE_LIMIT + 1))
    assert over.status_code == 413
    assert over.json()["details"][0]["metadata"] == {"limit_bytes": str(IMAGE_LIMIT)}


async def test_escaped_slashes_are_refused(edge: Edge) -> None:
    for path in ("/v1/members%2fme", "/v1/members%5Cme", "/v1/nothing/..%2fmembers/me"):
        answer = await edge.http.get(path)
        assert answer.status_code == 400
        assert reason_in_json(answer) == "VALIDATION_FAILED"


async def test_header_names_with_underscores_are_refused(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me", headers={"x_scrip_role": "admin"})
    assert answer.status_code == 400
    assert reason_in_json(answer) == "VALIDATION_FAILED"


@pytest.mark.covers("E1")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"h": "x" * 16_384}, id="over-the-limit"),
        pytest.param({"h": "x" * 80_000}, id="far-over-the-limit"),
        pytest.param({"h": "x" * 120_000}, id="more-than-envoy-reads"),
        pytest.param({f"h-{n}": "1" for n in range(200)}, id="too-many"),
        pytest.param({f"h-{n}": "x" * 200 for n in range(90)}, id="all-together"),
    ],
)
async def test_too_many_or_too_large_headers_are_refused(edge: Edge, headers: dict[str, str]) -> None:
    for _ in range(5):
        answer = await edge.http.get("/v1/members/me", headers=headers)
        assert answer.status_code == 431
        assert reason_in_json(answer) == "HEADERS_TOO_LARGE"
        assert answer.json()["details"][0]["metadata"] == {"limit_bytes": "16384"}


async def test_a_path_over_the_limit_of_headers_is_refused(edge: Edge) -> None:
    answer = await edge.http.get(f"/v1/offers/{'x' * 17_000}")
    assert (answer.status_code, reason_in_json(answer)) == (431, "HEADERS_TOO_LARGE")


async def _raw(edge: Edge, request: bytes) -> tuple[int, bytes]:
    """Sends bytes as they are; returns status and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.settings.edge_port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = re.search(r"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
    finally:
        writer.close()
    return int(head.split()[1]), body


@pytest.mark.parametrize("second", [b"evil.example", b"good.example"])
async def test_a_request_with_two_hosts_is_refused(edge: Edge, second: bytes) -> None:
    status, body = await _raw(
        edge, b"GET /v1/members/me HTTP/1.1\r\nHost: good.example\r\nHost: " + second + b"\r\n\r\n"
    )
    assert status == 400
    assert json.loads(body)["details"][0]["reason"] == "VALIDATION_FAILED"


@pytest.mark.parametrize("target", [b"good.example:443", b"/v1/members/me"])
async def test_who_asks_for_a_tunnel_gets_an_answer(edge: Edge, target: bytes) -> None:
    status, body = await _raw(edge, b"CONNECT " + target + b" HTTP/1.1\r\nHost: good.example:443\r\n\r\n")
    assert status == (404 if b":" in target else 400)
    expected = "ROUTE_NOT_FOUND" if status == 404 else "VALIDATION_FAILED"
    assert json.loads(body)["details"][0]["reason"] == expected
