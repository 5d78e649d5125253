"""REST through the edge: what services see of a request, and what callers see of a response."""

from __future__ import annotations

import json

import httpx
import pytest
from scrip.identity.v1 import auth_pb2
from scrip.points.v1 import purchase_pb2

from tests.edge import upstream
from tests.edge.edge import Edge
from tests.edge.refusals import reason_in_json

ORIGIN = "http://localhost:5173"
LIMIT = 1 << 20


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _no_grpc_headers(answer: httpx.Response) -> bool:
    return not [name for name in answer.headers if name.startswith("grpc-")]


async def test_answers_are_json_with_the_proto_names_and_every_field(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    texts = ("id", "phone", "user_name", "email", "pending_email", "birthday", "etag")
    empty = dict.fromkeys(texts, "")
    no = dict.fromkeys(("email_confirmed", "has_password", "masked"), False)
    others = {"full_name": "Ada", "state": "MEMBER_STATE_UNSPECIFIED"}
    assert answer.json() == {
        "member": empty | no | others
    }  # fields that are messages are absent when not set
    assert _no_grpc_headers(answer)


async def test_answers_are_not_to_be_stored_unless_a_service_says_so(edge: Edge) -> None:
    assert (await edge.http.get("/v1/members/me")).headers["cache-control"] == "no-store"
    keys = await edge.http.get("/.well-known/jwks.json")
    assert keys.headers["cache-control"] == "public, max-age=60"
    assert keys.headers["x-content-type-options"] == "nosniff"
    assert keys.json()["keys"][0]["kid"] == upstream.KEY_ID


@pytest.mark.parametrize(
    "path",
    [
        "/v1/offers",
        "/v1/payment-options",
        "/v1/programme",
        "/v1/campaigns:running",
    ],
)
async def test_no_cache_keeps_an_error_instead_of_a_public_list(edge: Edge, path: str) -> None:
    answer = await edge.http.get(path)
    assert answer.status_code >= 400, "nobody serves it here"
    assert answer.headers["cache-control"] == "no-store"


async def test_body_fields_and_enums_in_any_case_reach_the_service(edge: Edge) -> None:
    answer = await edge.http.post("/v1/otps", json={"phone": "+1", "purpose": "otp_purpose_log_in"})
    assert answer.json() == {"otp_id": "+1 OTP_PURPOSE_LOG_IN"}


async def test_repeated_messages_and_large_integers_reach_the_service(edge: Edge) -> None:
    items = [{"sku": "a", "unit_price_minor": "62000", "quantity": 1}, {"sku": "b", "alcohol": True}]
    answer = await edge.http.post("/v1/purchases", json={"receipt_number": "R-1", "items": items})
    assert answer.json()["purchase"]["points"] == 2
    request = edge.main.last.request
    assert isinstance(request, purchase_pb2.RecordPurchaseRequest)
    assert [item.unit_price_minor for item in request.items] == [62000, 0]


async def test_path_variables_and_query_parameters_reach_the_service(edge: Edge) -> None:
    offer = await edge.http.get("/v1/offers/o-1")
    assert offer.json()["offer"]["voucher_id"] == "o-1"
    entries = await edge.http.get(
        "/v1/members/me/points/entries", params={"page_size": 2, "kind": "ENTRY_KIND_EARN"}
    )
    assert [entry["kind"] for entry in entries.json()["entries"]] == ["ENTRY_KIND_EARN"] * 2
    assert entries.json()["entries"][1]["sequence"] == "1"


async def test_a_question_mark_in_an_id_is_no_query(edge: Edge) -> None:
    cancelled = await edge.http.post("/v1/redemptions/r%3F1=2:cancel", json={})
    assert cancelled.json()["redemption"]["id"] == "r?1=2"


async def test_custom_verbs_reach_their_method(edge: Edge) -> None:
    verified = await edge.http.post("/v1/codes:verify", json={"code": "C-1"})
    assert verified.json()["code_id"] == "C-1"
    cancelled = await edge.http.post("/v1/redemptions/r-1:cancel", json={})
    assert cancelled.json()["redemption"]["id"] == "r-1"


async def test_refusals_keep_their_status_and_their_details(edge: Edge) -> None:
    answer = await edge.http.post("/v1/members", json={"full_name": "Ada"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "code": 3,
        "message": "the request is not valid",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "VALIDATION_FAILED",
                "domain": "scrip",
                "metadata": {},
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{"field": "otp.code", "description": "6 digits", "reason": ""}],
            },
        ],
    }
    assert _no_grpc_headers(answer)


async def test_a_service_that_is_asked_too_often_says_when_to_retry(edge: Edge) -> None:
    answer = await edge.http.post("/v1/sessions", json={})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "60"
    info, retry = answer.json()["details"]
    assert info["metadata"] == {"limit": "logins"}
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "60s"}
    assert _no_grpc_headers(answer)


async def test_images_pass_untouched(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me/qr", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-type"] == "image/png"
    assert "content-encoding" not in answer.headers
    assert answer.content == upstream.PNG


async def test_json_is_compressed_for_those_who_can_read_it(edge: Edge) -> None:
    path = "/v1/members/me/points/entries?page_size=100"
    compressed = await edge.http.get(path, headers={"accept-encoding": "gzip"})
    plain = await edge.http.get(path, headers={"accept-encoding": "identity"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.num_bytes_downloaded < len(plain.content) / 4
    assert compressed.json() == plain.json()
    assert "content-encoding" not in plain.headers


async def test_streams_are_server_sent_events(edge: Edge) -> None:
    async with edge.http.stream("GET", "/v1/offers/0.01/quantity:watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        body = (await answer.aread()).decode()
    assert body == "".join(f'id: 7\ndata: {{"quantity_left":{left}}}\n\n' for left in (3, 2, 0))


async def test_a_stream_that_is_refused_is_an_error_like_any_other(edge: Edge) -> None:
    answer = await edge.http.get(f"/v1/offers/{upstream.MISSING}/quantity:watch")
    assert answer.status_code == 404
    assert reason_in_json(answer) == "VOUCHER_NOT_FOUND"


async def test_the_token_endpoint_takes_a_form(edge: Edge) -> None:
    form = {"grant_type": "client_credentials", "client_id": "till 1", "client_secret": "s&cret"}
    answer = await edge.http.post("/v1/oauth/token", data=form, headers={"authorization": "Basic dDpz"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "content_type": "application/x-www-form-urlencoded",
        "body": "grant_type=client_credentials&client_id=till+1&client_secret=s%26cret",
    }
    assert isinstance(edge.main.last.request, auth_pb2.IssueClientTokenRequest)
    assert edge.main.last.metadata["authorization"] == "Basic dDpz"


async def test_the_idempotency_key_arrives_as_metadata(edge: Edge) -> None:
    await edge.http.post("/v1/otps", json={}, headers={"Idempotency-Key": "key-1"})
    assert edge.main.last.metadata["idempotency-key"] == "key-1"


async def test_every_request_gets_an_id_that_its_caller_does_not_choose(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me", headers={"x-request-id": "chosen"})
    given = answer.headers["x-request-id"]
    assert given != "chosen"
    assert edge.main.last.metadata["x-request-id"] == given
    refused = await edge.http.get("/v1/nothing")
    assert refused.headers["x-request-id"] != given


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(upstream.token(), id="good"),
        pytest.param(upstream.token(seconds=-1000), id="expired"),
        pytest.param(upstream.token(audience="scrip-internal"), id="for-services"),
        pytest.param(upstream.token(issuer="someone"), id="of-another-issuer"),
        pytest.param(upstream.token(key=upstream.new_key()), id="forged"),
        pytest.param("nonsense", id="malformed"),
    ],
)
async def test_tokens_reach_the_service_untouched_which_answers_for_them(edge: Edge, token: str) -> None:
    answer = await edge.http.get("/v1/members/me", headers=_bearer(token))
    assert answer.status_code == 200
    assert edge.main.last.metadata["authorization"] == f"Bearer {token}"


async def test_what_only_scrip_may_say_is_stripped(edge: Edge) -> None:
    forged = {
        "x-scrip-role": "admin",
        "x-user-id": "member-2",
        "x-auth-request-user": "root",
        "x-forwarded-user": "root",
        "x-real-ip": "10.0.0.1",
        "x-envoy-external-address": "10.0.0.1",
        "x-envoy-original-path": "/v1/audit-entries",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
    }
    answer = await edge.http.get("/v1/members/me", headers=forged)
    assert answer.status_code == 200
    seen = edge.main.last.metadata
    assert seen["x-envoy-external-address"] == "127.0.0.1"
    assert seen["x-envoy-original-path"] == "/v1/members/me"
    kept = {"x-envoy-external-address", "x-envoy-original-path"}
    assert not (forged.keys() - kept) & seen.keys()


@pytest.mark.parametrize("name", ["zm-~", "a'b", "*", "x|y", "trace-bin"])
async def test_headers_that_grpc_can_not_carry_are_left_out(edge: Edge, name: str) -> None:
    answer = await edge.http.get("/v1/members/me", headers={name: "?", "x.y-1": "kept"})
    assert answer.status_code == 200, answer.text
    assert name not in edge.main.last.metadata
    assert edge.main.last.metadata["x.y-1"] == "kept"


async def test_grpc_headers_of_a_json_request_do_not_reach_the_service(edge: Edge) -> None:
    answer = await edge.http.get(
        "/v1/members/me", headers={"grpc-encoding": "nonsense", "grpc-timeout": "1n"}
    )
    assert answer.status_code == 200
    assert not {"grpc-encoding", "grpc-timeout"} & edge.main.last.metadata.keys()


async def test_a_body_up_to_the_limit_passes(edge: Edge) -> None:
    phone = "1" * (LIMIT - 100)
    answer = await edge.http.post("/v1/otps", json={"phone": phone})
    assert answer.status_code == 200
    request = edge.main.last.request
    assert isinstance(request, auth_pb2.SendOtpRequest)
    assert request.phone == phone
    assert phone in answer.json()["otp_id"]


async def test_browsers_of_known_origins_may_call(edge: Edge) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}
    allowed = await edge.http.options("/v1/members/me/orders", headers={"origin": ORIGIN} | asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    # For the cookie that holds a browser's refresh token.
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert {"accept-language", "last-event-id"} <= {
        name.strip() for name in allowed.headers["access-control-allow-headers"].split(",")
    }

    read = await edge.http.get("/v1/members/me", headers={"origin": ORIGIN})
    assert read.headers["access-control-allow-origin"] == ORIGIN
    assert {"x-request-id", "content-disposition", "www-authenticate", "retry-after"} <= {
        name.strip() for name in read.headers["access-control-expose-headers"].split(",")
    }
    refused = await edge.http.get("/v1/nothing", headers={"origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN


async def test_browsers_of_other_origins_may_not(edge: Edge) -> None:
    asked = {"access-control-request-method": "POST"}
    preflight = await edge.http.options(
        "/v1/members/me/orders", headers={"origin": "http://evil.example"} | asked
    )
    read = await edge.http.get("/v1/members/me", headers={"origin": "http://localhost:1.evil.example"})
    assert not [name for name in (*preflight.headers, *read.headers) if name.startswith("access-control")]


async def test_who_is_not_known_is_told_how_to_be(edge: Edge) -> None:
    answer = await edge.http.get("/v1/members/me", headers={"authorization": upstream.REFUSED})
    assert answer.status_code == 401
    assert reason_in_json(answer) == "TOKEN_NOT_VALID"
    assert answer.headers["www-authenticate"] == 'Bearer realm="scrip"'
    assert "www-authenticate" not in (await edge.http.get("/v1/members/me")).headers
    assert "www-authenticate" not in (await edge.http.get("/v1/nothing")).headers


@pytest.mark.parametrize("kibibytes", [7, 15])
async def test_headers_up_to_the_limit_always_pass(edge: Edge, kibibytes: int) -> None:
    for _ in range(20):
        answer = await edge.http.get("/v1/members/me", headers={"x-large": "x" * (kibibytes << 10)})
        assert answer.status_code == 200


@pytest.mark.covers("E9")
async def test_the_log_names_the_call_and_keeps_secrets_out(edge: Edge) -> None:
    token = upstream.token("member-log")
    answer = await edge.http.get("/v1/members/me/points/entries?page_token=secret", headers=_bearer(token))
    entry = await edge.log_entry(answer.headers["x-request-id"])
    assert entry["path"] == "/v1/members/me/points/entries"
    assert entry["rpc"] == "/scrip.points.v1.PointsService/ListMyEntries"
    assert (entry["method"], entry["status"], entry["subject"]) == ("GET", 200, "member-log")
    assert entry["address"] == "127.0.0.1"
    assert "secret" not in json.dumps(entry)
    assert token not in edge.log.read_text()


def _batch(receipts: int, items: int, name: str = "Extra virgin olive oil, 750 ml") -> dict[str, object]:
    line = {"sku": "4006381333931", "name": name, "category": "pantry", "unit_price_minor": "1149"}
    receipt = {"member_code": "0123456789AB", "receipt_number": "2026-11-20-0001", "items": [line] * items}
    return {"purchases": [receipt] * receipts}


async def test_a_refused_receipt_of_a_batch_is_a_status_like_any_other(edge: Edge) -> None:
    purchases = [{"receipt_number": "R-1", "items": [{"sku": "a"}]}, {"receipt_number": "R-2"}]
    answer = await edge.http.post("/v1/purchases:batch", json={"purchases": purchases})
    assert answer.status_code == 200
    recorded, refused = answer.json()["results"]
    assert recorded["recorded"]["purchase"]["receipt_number"] == "R-1"
    kind = "type.googleapis.com/google.rpc."
    assert refused == {
        "refused": {
            "code": 3,
            "message": "the request is not valid",
            "details": [
                {
                    "@type": f"{kind}ErrorInfo",
                    "reason": "VALIDATION_FAILED",
                    "domain": "scrip",
                    "metadata": {"a": "b"},
                },
                {
                    "@type": f"{kind}BadRequest",
                    "field_violations": [
                        {
                            "field": "items",
                            "description": "at least 1",
                            "reason": "",
                        }
                    ],
                },
                {"@type": f"{kind}RetryInfo", "retry_delay": "1s"},
            ],
        }
    }


async def test_a_batch_of_a_thousand_long_receipts_passes(edge: Edge) -> None:
    body = json.dumps(_batch(1_000, 20)).encode()
    assert len(body) > 2 << 20
    headers = {"content-type": "application/json"}
    answer = await edge.http.post("/v1/purchases:batch", content=body, headers=headers, timeout=20)
    assert [one["recorded"]["purchase"]["points"] for one in answer.json()["results"]] == [20] * 1_000


async def test_no_other_body_may_be_as_large(edge: Edge) -> None:
    body = json.dumps({"items": [{"sku": "a" * LIMIT}]}).encode()
    answer = await edge.http.post("/v1/purchases", content=body)
    assert reason_in_json(answer) == "REQUEST_TOO_LARGE"
