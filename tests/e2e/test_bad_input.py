"""Malformed, missing, out of range, too large: 400 (or 413) with the field named, and nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from tests import invariants
from tests.platform import Member, Platform, purchase, refusal, unique

LIMIT = 1 << 20
MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
COUNTS = {
    "identity": "SELECT (SELECT count(*) FROM members) AS a, (SELECT count(*) FROM clients) AS b",
    "points": "SELECT (SELECT count(*) FROM purchases) AS a, (SELECT sum(balance) FROM accounts) AS b",
    "vouchers": "SELECT (SELECT count(*) FROM vouchers) AS a, (SELECT count(*) FROM orders) AS b",
    "promos": "SELECT (SELECT count(*) FROM campaigns) AS a, (SELECT count(*) FROM redemptions) AS b",
}


def _counts(live: Platform) -> dict[str, Any]:
    return {name: invariants.rows(live.databases[name], query)[0] for name, query in COUNTS.items()}


@pytest.fixture(autouse=True)
def nothing_happens(live: Platform, ada: Member, till: str) -> Iterator[None]:
    """No call of this module has any effect."""
    before = _counts(live)
    yield
    assert _counts(live) == before


def _changed(receipt: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Returns the receipt with other fields; None leaves one out, and `item_*` change its line."""
    line = {k.removeprefix("item_"): v for k, v in fields.items() if k.startswith("item_")}
    whole = {k: v for k, v in fields.items() if not k.startswith("item_")}
    changed = receipt | {"items": [receipt["items"][0] | line]} | whole
    return {k: v for k, v in changed.items() if v is not None}


LINE = {"sku": "1", "name": "Bread", "unit_price_minor": "100", "quantity": 1}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"member_code": "X" * 65}, "member_code", id="long-member-code"),
        pytest.param({"receipt_number": ""}, "receipt_number", id="no-receipt-number"),
        pytest.param({"sold_at": None}, "sold_at", id="no-time"),
        pytest.param({"currency_code": "usd"}, "currency_code", id="currency-in-small-letters"),
        pytest.param({"currency_code": None}, "currency_code", id="no-currency"),
        pytest.param({"items": []}, "items", id="no-items"),
        pytest.param({"items": [LINE] * 501}, "items", id="501-items"),
        pytest.param({"item_sku": ""}, "items[0].sku", id="no-sku"),
        pytest.param({"item_name": "x" * 201}, "items[0].name", id="long-name"),
        pytest.param({"item_quantity": 0}, "items[0].quantity", id="zero-quantity"),
        pytest.param({"item_quantity": -1}, "items[0].quantity", id="negative-quantity"),
        pytest.param({"item_quantity": 100_001}, "items[0].quantity", id="quantity-out-of-range"),
        pytest.param({"item_unit_price_minor": "-1"}, "items[0].unit_price_minor", id="negative-price"),
        pytest.param(
            {"item_unit_price_minor": str(10**10 + 1)}, "items[0].unit_price_minor", id="price-out-of-range"
        ),
        pytest.param(
            {"items": [LINE, LINE | {"unit_price_minor": "-5"}]},
            "items[1].unit_price_minor",
            id="second-item",
        ),
    ],
)
async def test_a_receipt_that_breaks_a_rule_is_refused_with_the_field(
    live: Platform, ada: Member, till: str, change: dict[str, Any], field: str
) -> None:
    body = _changed(purchase(ada, 1_000), **change)
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert refused.fields == [field]
    assert field in refused.message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"item_quantity": "many"}, "items[0].quantity", id="text-for-int"),
        pytest.param({"item_quantity": 1.5}, "items[0].quantity", id="fraction"),
        pytest.param({"item_quantity": MAX_INT32 + 1}, "items[0].quantity", id="int32-overflow"),
        pytest.param(
            {"item_unit_price_minor": str(MAX_INT64 + 1)}, "items[0].unit_price_minor", id="int64-overflow"
        ),
        pytest.param({"item_unit_price_minor": "1e400"}, "items[0].unit_price_minor", id="infinite"),
        pytest.param({"item_alcohol": "perhaps"}, "items[0].alcohol", id="not-a-bool"),
        pytest.param({"sold_at": "yesterday"}, "sold_at", id="not-a-time"),
        pytest.param({"member_code": {"code": "x"}}, "member_code", id="object-for-text"),
        pytest.param({"items": "bread"}, "items", id="text-for-list"),
    ],
)
async def test_wrong_types_are_refused_with_the_field(
    live: Platform, ada: Member, till: str, change: dict[str, Any], named: str
) -> None:
    refused = await live.refused(
        "POST", "/v1/purchases", _changed(purchase(ada, 1_000), **change), token=till
    )
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


@pytest.mark.parametrize(
    "body", ['{"voucher_id":', "nonsense", '["voucher_id"]', "\x00", '{"voucher_id": "\\ud800"}']
)
async def test_bodies_that_are_not_a_json_object_are_refused(live: Platform, ada: Member, body: str) -> None:
    headers = {"authorization": f"Bearer {ada.token}", "idempotency-key": unique()}
    refused = refusal(await live.http.post("/v1/members/me/orders", content=body, headers=headers))
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")


async def test_a_character_that_can_not_be_stored_is_refused(live: Platform, ada: Member, till: str) -> None:
    body = _changed(purchase(ada, 1_000), item_name="Bread\x00")
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"currency_code": "EUR"}, "CURRENCY_NOT_SUPPORTED"),
        ({"sold_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "SALE_TIME_OUT_OF_RANGE"),
        ({"sold_at": (datetime.now(UTC) - timedelta(days=31)).isoformat()}, "SALE_TIME_OUT_OF_RANGE"),
        ({"sold_at": "0001-01-01T00:00:00Z"}, "SALE_TIME_OUT_OF_RANGE"),
        ({"item_unit_price_minor": str(10**10), "item_quantity": 11}, "RECEIPT_TOO_LARGE"),
        ({"item_unit_price_minor": str(10**10), "item_quantity": 100_000}, "RECEIPT_TOO_LARGE"),
    ],
)
async def test_a_receipt_out_of_the_programmes_range_is_refused_with_its_own_reason(
    live: Platform, ada: Member, till: str, change: dict[str, Any], reason: str
) -> None:
    body = _changed(purchase(ada, 1_000), **change)
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert (refused.status, refused.reason) == (400, reason)
    assert refused.metadata


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("nope=1", "nope"),
        ("member_id=0199", "member_id"),
        ("page_size=x", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=99999999999", "page_size"),
        ("kind=STOLEN", "kind"),
        ("kind=99", "kind"),
    ],
)
async def test_queries_that_do_not_fit_are_refused_with_the_field(
    live: Platform, ada: Member, query: str, named: str
) -> None:
    refused = await live.refused("GET", f"/v1/members/me/points/entries?{query}", token=ada.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


@pytest.mark.parametrize("page_token", ["garbage", "e30", "AAAA" * 50, "%00"])
@pytest.mark.parametrize("path", ["/v1/members/me/points/entries", "/v1/members/me/purchases", "/v1/offers"])
async def test_made_up_page_tokens_are_refused(
    live: Platform, ada: Member, path: str, page_token: str
) -> None:
    refused = await live.refused("GET", f"{path}?page_token={page_token}", token=ada.token)
    assert (refused.status, refused.reason) == (400, "PAGE_TOKEN_NOT_VALID")


FACE = {"currency_code": "USD", "amount_minor": "500"}
VOUCHER = {"title": "Coupon", "face_value": FACE, "price_points": 500, "quantity": 10}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "  "}, "title"),
        ({"face_value": FACE | {"amount_minor": "0"}}, "face_value"),
        ({"face_value": FACE | {"amount_minor": "-500"}}, "face_value"),
        ({"face_value": None}, "face_value"),
        ({"price_points": 0}, "price_points"),
        ({"price_points": -500}, "price_points"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 10_000_001}, "quantity"),
        ({"quantity": MAX_INT32 + 1}, "quantity"),
        ({"sale_ends_at": "2020-01-01T00:00:00Z"}, "sale_ends_at"),
        ({"sale_starts_at": "2999-01-01T00:00:00Z", "sale_ends_at": "2998-01-01T00:00:00Z"}, "sale_ends_at"),
    ],
)
async def test_a_voucher_that_breaks_a_rule_is_refused(
    live: Platform, change: dict[str, Any], field: str
) -> None:
    body = {k: v for k, v in (VOUCHER | change).items() if v is not None}
    refused = await live.refused("POST", "/v1/vouchers", body, token=live.admin, key=unique())
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert field in refused.message


CAMPAIGN = {"name": "First", "places": 100, "benefit": {"percent_off": 30}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"places": 0}, "places"),
        ({"places": -1}, "places"),
        ({"benefit": {"percent_off": 0}}, "percent_off"),
        ({"benefit": {"percent_off": 101}}, "percent_off"),
        ({"benefit": {"percent_off": -30}}, "percent_off"),
        ({"benefit": {}}, "benefit"),
        ({"benefit": None}, "benefit"),
        ({"benefit": {"percent_off": 30, "amount_off": FACE}}, "benefit"),
        ({"benefit": {"amount_off": FACE | {"amount_minor": "-1"}}}, "amount_minor"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_campaign_that_breaks_a_rule_is_refused(
    live: Platform, change: dict[str, Any], field: str
) -> None:
    body = {k: v for k, v in (CAMPAIGN | change).items() if v is not None}
    refused = await live.refused("POST", "/v1/campaigns", body, token=live.admin, key=unique())
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert field in refused.message


ID = "01990000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/otps", {"phone": "not a number", "purpose": "OTP_PURPOSE_REGISTER"}, "phone"),
        ("/v1/otps", {"phone": "+1 415 0", "purpose": "OTP_PURPOSE_REGISTER"}, "phone"),
        ("/v1/otps", {"phone": "+14159252286"}, "purpose"),
        ("/v1/members", {"otp": {"otp_id": ID, "code": "12345"}, "full_name": "A"}, "otp.code"),
        ("/v1/members", {"otp": {"otp_id": "1", "code": "123456"}, "full_name": "A"}, "otp.otp_id"),
        ("/v1/members", {"otp": {"otp_id": ID, "code": "123456"}, "full_name": " "}, "full_name"),
        ("/v1/members", {"full_name": "A"}, "request"),
        ("/v1/sessions", {}, "request"),
        ("/v1/sessions", {"password": {"user_name": "admin"}}, "password.password"),
    ],
)
async def test_ways_in_refuse_what_breaks_a_rule(
    live: Platform, path: str, body: dict[str, Any], field: str
) -> None:
    refused = await live.refused("POST", path, body)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert refused.fields == [field]


@pytest.mark.parametrize("form", [{}, {"grant_type": "password"}, {"grant_type": "client_credentials"}])
async def test_a_token_request_that_is_not_whole_is_refused(live: Platform, form: dict[str, str]) -> None:
    answer = await live.http.post("/v1/oauth/token", data=form)
    assert answer.status_code in {400, 401}, "RFC 6749, 5.2: see test_oauth.py"


@pytest.mark.parametrize("voucher_id", ["", "1", "'; DROP TABLE orders; --", ID + "0"])
async def test_ids_that_are_none_are_refused(live: Platform, ada: Member, voucher_id: str) -> None:
    refused = await live.refused(
        "POST", "/v1/members/me/orders", {"voucher_id": voucher_id}, token=ada.token, key=unique()
    )
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", ["voucher_id"])


@pytest.mark.parametrize("key", ["", "k" * 129, "two words"])
async def test_an_order_without_a_good_key_is_refused(live: Platform, ada: Member, key: str) -> None:
    headers = {"authorization": f"Bearer {ada.token}"} | ({"idempotency-key": key} if key else {})
    answer = await live.http.post("/v1/members/me/orders", json={"voucher_id": ID}, headers=headers)
    refused = refusal(answer)
    assert (refused.status, refused.reason) == (400, "IDEMPOTENCY_KEY_REQUIRED")


async def test_a_body_that_is_too_large_is_413(live: Platform, ada: Member, till: str) -> None:
    body = _changed(purchase(ada, 1_000), till_number="x" * LIMIT)
    refused = await live.refused("POST", "/v1/purchases", body, token=till)
    assert (refused.status, refused.reason) == (413, "REQUEST_TOO_LARGE")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("DELETE", "/v1/vouchers"), ("GET", "/")]
)
async def test_unknown_routes_are_404(live: Platform, method: str, path: str) -> None:
    refused = await live.refused(method, path, token=live.admin)
    assert (refused.status, refused.reason) == (404, "ROUTE_NOT_FOUND")


@pytest.mark.covers("E2")
async def test_bytes_that_are_no_message_are_refused_and_harm_nobody(live: Platform) -> None:
    """Anybody may send them, as often as the edge lets through, and the next call is served."""
    logs = [path for path in live.stack.folder.logs.glob("*.log") if path.name[:3] in ("ide", "vou")]
    before = {path: path.read_text(errors="replace").count('"ERROR"') for path in logs}
    assert logs
    async with grpc.aio.insecure_channel(live.target) as channel:
        method: Any = channel.unary_unary("/scrip.identity.v1.AuthService/LogIn")
        for _ in range(15):
            for path in ("/v1/members?query=%FF", "/v1/offers/%FF"):
                refused = await live.refused("GET", path)
                assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"\xff", timeout=10)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await live.ok("GET", "/v1/members", token=live.admin)
    assert {path: path.read_text(errors="replace").count('"ERROR"') for path in logs} == before
    metrics = (await live.http.get(f"{live.stack.endpoints.ops_url}/metrics")).text
    for name in ("identity", "vouchers"):
        assert f'envoy_cluster_membership_healthy{{envoy_cluster_name="{name}"}} 1' in metrics
        assert f'detection_ejections_enforced_total{{envoy_cluster_name="{name}"}} 0' in metrics


async def test_a_page_of_another_origin_gets_no_leave(live: Platform) -> None:
    for origin, allowed in (("http://localhost:5173", True), ("https://desk.example", False)):
        answer = await live.http.get("/v1/offers", headers={"origin": origin})
        assert ("access-control-allow-origin" in answer.headers) is allowed
