"""A part of the demo's story: vouchers sold for money, confirmed, given away, redeemed and refunded."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from stack.rest import Rest, random_phone
from stack.teller import Teller, check

_BAD_REQUEST = 400
_SOON_SECONDS = 15.0
_ORDERS = "/v1/members/me/orders"
_MINE = "/v1/members/me/vouchers"


async def sell_and_give(teller: Teller, rest: Rest, shop: Mapping[str, str], member: str) -> None:
    """Staff put a gift card on sale; the member buys two, gives one away, and one is refunded.

    Raises StoryError.
    """
    teller.chapter("11. Gift cards for money and points")
    voucher_id, method_id = await _put_on_sale(teller, shop["admin"])
    reward = await _reward(teller, shop, member)
    first = await _buy(teller, member, voucher_id, method_id, reward["code"])
    second = await _confirm(teller, member, voucher_id, method_id)
    await _give(teller, rest, shop, member, second["wallet_voucher_id"])
    await _refund(teller, shop, member, first)
    path = f"/v1/payment-methods/{method_id}:archive"
    await teller.call("Nobody pays so any more.", "POST", path, {}, token=shop["admin"])


async def _put_on_sale(teller: Teller, admin: str) -> tuple[str, str]:
    """Returns the ids of a voucher and of the payment method that makes it cheaper."""
    wanted = {
        "title": "$50 gift card",
        "face_value": {"currency_code": "USD", "amount_minor": "5000"},
        "price": {"currency_code": "USD", "amount_minor": "4500"},
        "price_points": 5,
        "price_rule": "PRICE_RULE_TOGETHER",
        "quantity": 100,
        "max_per_member": 2,
        "buy_type": "BUY_TYPE_GIFT",
        "draft": True,
    }
    meaning = "A gift card for $45 and 5 points, two to a member, as a draft."
    made = await teller.call(meaning, "POST", "/v1/vouchers", wanted, token=admin, key=secrets.token_hex(4))
    voucher_id = made.json["voucher"]["id"]
    path = f"/v1/vouchers/{voucher_id}"
    shown = await teller.call("It gets an image ...", "POST", f"{path}/images", token=admin, png=_picture())
    image = shown.json["voucher"]["images"][0]
    small = await teller.call("... which anybody may see.", "GET", image["thumbnail_path"])
    check(small.content_type == "image/png", f"expected an image, got {small.content_type}")
    card = {"name": "Card", "provider": "SANDBOX"}
    method = await teller.call(
        "Members can pay by card ...",
        "POST",
        "/v1/payment-methods",
        card,
        token=admin,
        key=secrets.token_hex(4),
    )
    method_id: str = method.json["payment_method"]["id"]
    discount = f"{path}/payment-discounts/{method_id}"
    await teller.call("... which takes 10 % off.", "PUT", discount, {"percent_off": 10}, token=admin)
    etag = {"etag": shown.json["voucher"]["etag"]}
    sold = await teller.call("It goes on sale.", "POST", f"{path}:publish", etag, token=admin)
    check(sold.json["voucher"]["state"] == "VOUCHER_STATE_ON_SALE", f"expected it on sale, got {sold.json}")
    return voucher_id, method_id


def _picture() -> bytes:
    """Returns a PNG image."""
    file = io.BytesIO()
    Image.new("RGB", (640, 400), "darkgreen").save(file, "PNG")
    return file.getvalue()


async def _buy(
    teller: Teller, member: str, voucher_id: str, method_id: str, promo_code: str
) -> Mapping[str, Any]:
    """Returns the order."""
    wanted = {"voucher_id": voucher_id, "payment_method_id": method_id}
    meaning = "What does it cost by card, and with the 30 % that the member has won?"
    asked = wanted | {"promo_code": promo_code}
    quoted = await teller.call(meaning, "POST", f"{_ORDERS}:quote", asked, token=member)
    quote = quoted.json["quote"]
    check(quote["price"]["amount_minor"] == "2835", f"expected 70 % of 90 % of $45, got {quote}")
    paid, key = {"voucher_id": voucher_id, "quote_id": quote["id"], "card": _card()}, secrets.token_hex(4)
    placed = await teller.call("At this price: bought.", "POST", _ORDERS, paid, token=member, key=key)
    order: Mapping[str, Any] = placed.json["order"]
    check(order["state"] == "ORDER_STATE_COMPLETED", f"the order did not complete: {order}")
    check(order["price"] == quote["price"], f"expected the price of the quote, got {order}")
    again = await teller.call(
        "The same key again: the same order, paid once.", "POST", _ORDERS, paid, token=member, key=key
    )
    check(again.json == placed.json, "the same key gave another order")
    path = f"{_MINE}/{order['wallet_voucher_id']}"
    mine = await teller.call("The gift card with its code.", "GET", path, token=member)
    scanned = await teller.scan("Its QR ...", f"{path}/qr", member)
    check(scanned == mine.json["voucher"]["code"], "the QR holds another code")
    declined = wanted | {"card": _card("4000000000009995")}
    await teller.call(
        "Another one, by a card without money on it: refused, and nothing moves.",
        "POST",
        _ORDERS,
        declined,
        token=member,
        key=secrets.token_hex(4),
        status=_BAD_REQUEST,
        reason="PAYMENT_DECLINED",
    )
    return order


async def _confirm(teller: Teller, member: str, voucher_id: str, method_id: str) -> Mapping[str, Any]:
    """Returns the order."""
    wanted = {
        "voucher_id": voucher_id,
        "payment_method_id": method_id,
        "card": _card("4000002500003155"),
    }
    key = secrets.token_hex(4)
    meaning = "By a card whose bank wants a second look: the order waits."
    placed = await teller.call(meaning, "POST", _ORDERS, wanted, token=member, key=key)
    order: Mapping[str, Any] = placed.json["order"]
    check(order["state"] == "ORDER_STATE_AWAITING_PAYMENT", f"expected it to wait, got {order}")
    page, _, token = order["redirect_url"].partition("#")
    approval = {"token": token, "approve": True}
    await teller.call("The member approves, at the bank's page.", "POST", f"{page}:confirm", approval)
    path = f"{_ORDERS}/{order['id']}"
    done: Mapping[str, Any] = await _until(
        teller, "The order goes on by itself.", path, member, "ORDER_STATE_COMPLETED"
    )
    await teller.call(
        "A third one: two are the limit.",
        "POST",
        _ORDERS,
        wanted,
        token=member,
        key=secrets.token_hex(4),
        status=_BAD_REQUEST,
        reason="MEMBER_LIMIT_REACHED",
    )
    return done


async def _give(
    teller: Teller, rest: Rest, shop: Mapping[str, str], member: str, wallet_voucher_id: str
) -> None:
    phone, path = random_phone(), f"{_MINE}/{wallet_voucher_id}"
    to = {"recipient": {"phone_number": phone, "name": "Grace", "message": "Happy birthday! Ada"}}
    meaning = "The member gives it to a phone number that nobody has registered."
    await teller.call(meaning, "POST", f"{path}:give", to, token=member, key=secrets.token_hex(4))
    kept = await teller.call("Its code is shown to nobody meanwhile.", "GET", path, token=member)
    check(not kept.json["voucher"]["code"], f"expected no code, got {kept.json}")
    _, grace = await rest.register(shop["admin"], phone, "Grace Hopper")
    gifts = await teller.call(
        "Grace registers with that number, and finds it.", "GET", "/v1/members/me/gifts", token=grace
    )
    check(gifts.json["gifts"][0]["message"] == "Happy birthday! Ada", f"expected the gift, got {gifts.json}")
    gift = f"/v1/members/me/gifts/{gifts.json['gifts'][0]['id']}"
    await teller.call("She accepts it.", "POST", f"{gift}:accept", {}, token=grace)
    accepted = await _until(teller, "It is hers.", gift, grace, "GIFT_STATE_ACCEPTED")
    hers = await teller.call("With its code.", "GET", f"{_MINE}/{accepted['wallet_voucher_id']}", token=grace)
    sale = {
        "code": hers.json["voucher"]["code"],
        "till_number": "1",
        "sale_reference": f"R-{secrets.token_hex(4)}",
    }
    await teller.call("The till redeems it.", "POST", "/v1/codes:redeem", sale, token=shop["till"])


async def _refund(teller: Teller, shop: Mapping[str, str], member: str, order: Mapping[str, Any]) -> None:
    before = await teller.call("The member's points.", "GET", "/v1/members/me/points", token=member)
    path, wallet = f"/v1/orders/{order['id']}", f"{_MINE}/{order['wallet_voucher_id']}"
    mine = await teller.call("The gift card that was bought first.", "GET", wallet, token=member)
    await teller.call(
        "Staff refund it, all of it.",
        "POST",
        f"{path}:refund",
        {"note": "Bought by mistake"},
        token=shop["admin"],
        key=secrets.token_hex(4),
    )
    await _until(teller, "It is refunded.", path, shop["admin"], "ORDER_STATE_REFUNDED")
    paid = await teller.call("The money is back ...", "GET", f"/v1/sandbox-payments/{order['id']}")
    check(paid.json["payment"]["state"] == "PAYMENT_STATE_REFUNDED", f"expected a refund, got {paid.json}")
    after = await teller.call("... the points ...", "GET", "/v1/members/me/points", token=member)
    check(after.json["balance"] == before.json["balance"] + 5, f"expected 5 points more, got {after.json}")
    won = await _reward(teller, shop, member)
    check(won["state"] == "REWARD_STATE_USABLE", f"expected a usable reward, got {won}")
    await teller.call(
        "The refunded code is worth nothing.",
        "POST",
        "/v1/codes:verify",
        {"code": mine.json["voucher"]["code"]},
        token=shop["till"],
        status=_BAD_REQUEST,
        reason="CODE_VOID",
    )


async def _reward(teller: Teller, shop: Mapping[str, str], member: str) -> Any:
    path = "/v1/members/me/rewards"
    mine = await teller.call("The member's 30 % off, not used so far.", "GET", path, token=member)
    return next(one for one in mine.json["rewards"] if one["campaign_id"] == shop["campaign_id"])


async def _until(teller: Teller, meaning: str, path: str, token: str, state: str) -> Any:
    """Reads an order or a gift until it is in a state; returns it."""
    deadline = time.monotonic() + _SOON_SECONDS
    while True:
        answer = await teller.call(meaning, "GET", path, token=token)
        (one,) = answer.json.values()
        if one["state"] == state:
            return one
        check(time.monotonic() < deadline, f"it was not {state} within {_SOON_SECONDS:g} s: {one}")
        await asyncio.sleep(0.3)


def _card(number: str = "4242424242424242") -> dict[str, Any]:
    """Returns a test card: docs/payments.md says what each number does."""
    return {"number": number, "expiry_month": 12, "expiry_year": datetime.now(UTC).year + 2, "cvc": "123"}
