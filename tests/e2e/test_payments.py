"""Payments over REST: what members can choose, and what a gateway tells, byte by byte."""

from __future__ import annotations

import secrets

import httpx
import pytest
import redis

from services.common.ids import new_id
from services.common.webhooks.signing import key_of, signed
from services.vouchers.payments import sandbox
from tests.inprocess import GATEWAY_SECRET
from tests.platform import Platform, refusal

NOTIFY = "/v1/payments/GATEWAY:notify"
ORDERS = "/v1/members/me/orders"


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


def _card(number: str) -> dict[str, object]:
    return {"number": number, "expiry_month": 12, "expiry_year": 2050, "cvc": "123"}


def _new_number() -> str:
    """Returns a number that passes the check of card numbers, and that nothing else in the tests has."""
    digits = [4, *(secrets.randbelow(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    return "".join(map(str, digits)) + str(-sum(doubled) % 10)


@pytest.mark.covers("V3", "V3 OrderService.PlaceOrder")
async def test_no_card_number_is_stored_or_logged_anywhere(live: Platform, till: str) -> None:
    """All that the platform has written is searched, the logs of PostgreSQL and Envoy included."""
    method = {"name": "Card", "provider": "SANDBOX"}
    made = await live.ok("POST", "/v1/payment-methods", method, token=live.admin, key=str(new_id()))
    method_id = made["payment_method"]["id"]
    price = {"currency_code": "USD", "amount_minor": "450"}
    offer = {"title": "$5 off", "face_value": price, "price": price, "quantity": 50}
    voucher_id = (await live.ok("POST", "/v1/vouchers", offer, token=live.admin))["voucher"]["id"]
    member, unknown = await live.member(), _new_number()

    async def order(card: object, **others: object) -> httpx.Response:
        body = {"voucher_id": voucher_id, "payment_method_id": method_id, "card": card, **others}
        return await live.call("POST", ORDERS, body, token=member.token, key=str(new_id()))

    numbers = [*sandbox.CARDS, unknown]
    for number in numbers:
        answer = await order(_card(number))
        assert answer.status_code in (200, 400), answer.text
        assert number not in answer.text
        if (placed := answer.json().get("order", {})).get("state") == "ORDER_STATE_AWAITING_PAYMENT":
            await live.ok("POST", f"{ORDERS}/{placed['id']}:cancel", {}, token=member.token)
    spaced = " ".join(unknown[place : place + 4] for place in range(0, 16, 4))
    wrong = [
        await order(_card(spaced)),
        await order(_card(spaced.replace(" ", "-"))),
        await order(_card(unknown[:-1] + "x")),
        await order(unknown),
        await order({**_card("4242424242424242"), "expiry_month": unknown}),
        await order(None, quantity=unknown),
        await order(None, card_number=unknown),
        await order(None, payment_method_id=unknown),
        await live.call("GET", f"{ORDERS}?card={unknown}", token=member.token),
        await live.call("POST", f"{ORDERS}?card.number={unknown}", {}, token=member.token),
    ]
    for answer in wrong:
        assert 400 <= answer.status_code < 500, answer.text
    await live.at_rest(60)

    store = redis.Redis.from_url(live.stack.endpoints.redis_url)
    kept = b"".join(key + (store.dump(key) or b"") for key in store.scan_iter(count=1_000))
    store.close()
    searched = {"Redis": kept} | {
        str(file): file.read_bytes() for file in live.stack.folder.path.parent.rglob("*") if file.is_file()
    }
    assert any("envoy" in name for name in searched)
    assert any(ORDERS.encode() in content for content in searched.values()), "the logs are among them"
    found = [
        (name, number)
        for name, content in searched.items()
        for number in (*numbers, spaced, spaced.replace(" ", "-"))
        if number.encode() in content
    ]
    assert found == []
