"""Payments over REST: what members can choose, and what a gateway tells, byte by byte."""

from __future__ import annotations

import pytest

from services.common.ids import new_id
from services.common.webhooks.signing import key_of, signed
from tests.inprocess import GATEWAY_SECRET
from tests.platform import Platform, refusal

NOTIFY = "/v1/payments/GATEWAY:notify"


@pytest.mark.covers("V2", "E1")
async def test_a_way_to_pay_is_made_discounted_and_offered(live: Platform) -> None:
    card = {"name": "Card of a test", "provider": "SANDBOX", "position": 5}
    made = await live.ok("POST", "/v1/payment-methods", card, token=live.admin, key=str(new_id()))
    method_id = made["payment_method"]["id"]
    shown = (await live.ok("GET", "/v1/payment-options?page_size=200"))["payment_options"]
    assert {"payment_method_id": method_id, "name": "Card of a test", "card_required": True}.items() <= next(
        option for option in shown if option["payment_method_id"] == method_id
    ).items()
    offer = {
        "title": "$5 off",
        "face_value": {"currency_code": "USD", "amount_minor": "500"},
        "price": {"currency_code": "USD", "amount_minor": "450"},
        "quantity": 1,
    }
    voucher_id = (await live.ok("POST", "/v1/vouchers", offer, token=live.admin))["voucher"]["id"]
    path = f"/v1/vouchers/{voucher_id}/payment-discounts"
    await live.ok("PUT", f"{path}/{method_id}", {"percent_off": 10}, token=live.admin)
    listed = (await live.ok("GET", path, token=live.admin))["payment_discounts"]
    assert [one["percent_off"] for one in listed] == [10]
    await live.ok("DELETE", f"{path}/{method_id}", token=live.admin)
    assert (await live.ok("GET", path, token=live.admin))["payment_discounts"] == []


@pytest.mark.covers("V3")
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain"]
)
async def test_a_notification_arrives_as_its_bytes_were_signed(live: Platform, content_type: str) -> None:
    """With blanks, an order and escapes that no JSON writer of ours would keep."""
    body = (
        '{ "state" : "AUTHORISED",\r\n "amount_minor":1250 , "a": "\\u00e9 é", "a.b": {"payment_id": 1},'
        f' "currency_code":"USD", "payment_id":"{new_id()}" }}\n'
    ).encode()
    headers = {"content-type": content_type, **signed("m-1", body, [key_of(GATEWAY_SECRET)])}
    told = refusal(await live.http.post(NOTIFY, content=body, headers=headers))
    assert (told.status, told.reason) == (404, "PAYMENT_NOT_FOUND"), "it is signed, and of no payment"
    changed = body.replace(b"1250 ,", b"1250,")
    forged = refusal(await live.http.post(NOTIFY, content=changed, headers=headers))
    assert (forged.status, forged.reason) == (403, "PAYMENT_SIGNATURE_NOT_VALID")
