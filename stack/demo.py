"""The whole story over REST, call by call: `make demo`.

Uses the platform that `make up` runs, or starts one of its own for as long as the story takes. Ends
with a non-zero status when any step is not as it should be.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stack.demo_brand import tell_brand
from stack.demo_counter import look_up
from stack.demo_gifts import give_promo
from stack.demo_returns import change_and_return
from stack.demo_store import sell_and_give
from stack.endpoints import Endpoints
from stack.http import request
from stack.rest import Rest, item, random_phone, receipt
from stack.settings import read_settings
from stack.state import DataFolder
from stack.teller import StoryError, Teller, check
from stack.testing import running_stack

OK, BAD_REQUEST, UNAUTHENTICATED, NOT_FOUND, CONFLICT = 200, 400, 401, 404, 409
LOGGED_OUT_SECONDS = 1.0
"""After so long at most, every service refuses the device before."""
PRIZE_SECONDS = 30.0
"""It is there at once, but for a platform that has just started: its workers come after its servers."""


async def tell(base_url: str, admin_user: str, admin_password: str) -> int:
    """Runs the story; returns how many calls it made. Raises StoryError."""
    async with Rest(base_url) as rest:
        teller = Teller(rest)
        shop = await _set_up_shop(teller, admin_user, admin_password)
        phone = random_phone()
        first = await _join(teller, shop, phone)
        member = await _change_device(teller, shop, phone, first)
        await _earn(teller, shop, member)
        await _look(teller, member)
        wallet = await _exchange(teller, shop, member)
        await look_up(teller, shop, member)
        await _redeem(teller, rest, shop, wallet)
        await change_and_return(teller, shop, member)
        await give_promo(teller, shop, member)
        await tell_brand(teller, shop, member)
        await sell_and_give(teller, rest, shop, member)
        await _account_for(teller, shop)
        return teller.steps


async def _set_up_shop(teller: Teller, user_name: str, password: str) -> dict[str, str]:
    teller.chapter("1. An admin sets up the shop")
    told = await teller.call("What anybody may know of the programme.", "GET", "/v1/programme")
    check(told.json["programme"]["currency_code"] == "USD", "the story is told in dollars")
    credentials = {"password": {"user_name": user_name, "password": password}}
    login = await teller.call("The admin logs in.", "POST", "/v1/sessions", credentials)
    admin = login.json["token"]["access_token"]
    name = {"display_name": f"Main Street, till {secrets.token_hex(3)}"}
    till = await teller.call("A till gets its own id and secret.", "POST", "/v1/clients", name, token=admin)
    voucher = {
        "title": "$5 off your next purchase",
        "face_value": {"currency_code": "USD", "amount_minor": "500"},
        "price_points": 500,
        "quantity": 1000,
    }
    key = secrets.token_hex(4)
    coupon = await teller.call(
        "A coupon: 500 points = $5, 1,000 pieces.", "POST", "/v1/vouchers", voucher, token=admin, key=key
    )
    campaign = {"name": "First 100 logins", "places": 100, "benefit": {"percent_off": 30}}
    first = await teller.call(
        "The first 100 to log in get 30 % off.", "POST", "/v1/campaigns", campaign, token=admin, key=key
    )
    return {
        "admin": admin,
        "client_id": till.json["client"]["id"],
        "client_secret": till.json["client_secret"],
        "voucher_id": coupon.json["voucher"]["id"],
        "campaign_id": first.json["campaign"]["id"],
    }


async def _prove(teller: Teller, shop: Mapping[str, str], phone: str, purpose: str) -> dict[str, str]:
    asked = {"phone": phone, "purpose": f"OTP_PURPOSE_{purpose}"}
    sent = await teller.call("The app asks for a one-time password.", "POST", "/v1/otps", asked)
    path = f"/v1/sandbox/otps/{sent.json['otp_id']}"
    meaning = "No SMS here: the sandbox shows it to the admin."
    otp = await teller.call(meaning, "GET", path, token=shop["admin"])
    return {"otp_id": sent.json["otp_id"], "code": otp.json["code"]}


async def _join(teller: Teller, shop: dict[str, str], phone: str) -> str:
    teller.chapter("2. A member joins and wins a place")
    person = {"otp": await _prove(teller, shop, phone, "REGISTER"), "full_name": "Ada Lovelace"}
    joined = await teller.call("The member registers and is logged in.", "POST", "/v1/members", person)
    token: str = joined.json["token"]["access_token"]
    shop["member_id"] = joined.json["member"]["id"]
    won = await _reward(teller, token, shop["campaign_id"])
    check(won["rank"] == 1, f"expected rank 1, got {won}")
    check(won["benefit"]["percent_off"] == 30, f"expected 30 % off, got {won}")
    return token


async def _reward(teller: Teller, token: str, campaign_id: str) -> Any:
    deadline = time.monotonic() + PRIZE_SECONDS
    while True:
        mine = await teller.call(
            "The member looks for its reward: 30 % off, rank 1.",
            "GET",
            "/v1/members/me/rewards",
            token=token,
        )
        for reward in mine.json["rewards"]:
            if reward["campaign_id"] == campaign_id:
                return reward
        check(time.monotonic() < deadline, f"the reward was not there within {PRIZE_SECONDS:g} s")
        await asyncio.sleep(0.5)


async def _change_device(teller: Teller, shop: Mapping[str, str], phone: str, first: str) -> str:
    teller.chapter("3. Another device logs the first one out")
    proof = {"otp": await _prove(teller, shop, phone, "LOG_IN"), "device_id": "tablet"}
    second = await teller.call("The member logs in on a tablet.", "POST", "/v1/sessions", proof)
    await asyncio.sleep(LOGGED_OUT_SECONDS)
    await teller.call(
        "The phone is logged out, within a second and at every service.",
        "GET",
        "/v1/members/me/points",
        token=first,
        status=UNAUTHENTICATED,
        reason="SESSION_REPLACED",
    )
    renew = {"refresh_token": second.json["token"]["refresh_token"], "device_id": "tablet"}
    third = await teller.call("The tablet renews its token.", "POST", "/v1/sessions:refresh", renew)
    again = await teller.call(
        "The answer got lost: the same device gets it again.", "POST", "/v1/sessions:refresh", renew
    )
    token: str = third.json["token"]["access_token"]
    check(again.json["token"]["access_token"] == token, "the second answer has another token")
    return token


async def _earn(teller: Teller, shop: dict[str, str], member: str) -> None:
    teller.chapter("4. The till records purchases")
    form = {
        "grant_type": "client_credentials",
        "client_id": shop["client_id"],
        "client_secret": shop["client_secret"],
    }
    token = await teller.call("The till fetches a token.", "POST", "/v1/oauth/token", form=form)
    shop["till"] = token.json["access_token"]
    code = await teller.scan("The member shows its QR ...", "/v1/members/me/qr", member)
    now = datetime.now(UTC).isoformat()
    lines = [item("100", "Garden table", 60_000), item("200", "Red wine", 2_000, alcohol=True)]
    bought = receipt(code, "R-1", now, *lines)
    first = await teller.call(
        "$620, $20 of it alcohol: 60 points.", "POST", "/v1/purchases", bought, token=shop["till"]
    )
    check(first.json["purchase"]["points"] == 60, "expected 60 points")
    shop["table_id"] = first.json["purchase"]["id"]
    again = await teller.call(
        "The same receipt again: the same answer.", "POST", "/v1/purchases", bought, token=shop["till"]
    )
    check(again.content == first.content, "the second answer differs from the first")
    await _balance(teller, member, 60)
    other = receipt(code, "R-1", now, item("100", "Garden table", 50_000))
    await teller.call(
        "The same receipt with another amount: refused.",
        "POST",
        "/v1/purchases",
        other,
        token=shop["till"],
        status=CONFLICT,
        reason="RECEIPT_CONFLICT",
    )
    bicycle = item("300", "Bicycle", 225_000)
    another = receipt(code, "R-2", now, bicycle)
    await teller.call("A bicycle: 225 points.", "POST", "/v1/purchases", another, token=shop["till"])
    meaning = "The member shows a signed QR, good for a minute and one receipt ..."
    signed = await teller.scan(meaning, "/v1/members/me/qr?signed=true", member)
    now = datetime.now(UTC).isoformat()
    once = receipt(signed, "R-3", now, bicycle)
    await teller.call("Another bicycle: 225 points.", "POST", "/v1/purchases", once, token=shop["till"])
    await teller.call(
        "A screenshot of it, on another receipt: refused.",
        "POST",
        "/v1/purchases",
        receipt(signed, "R-4", now, bicycle),
        token=shop["till"],
        status=BAD_REQUEST,
        reason="MEMBER_CODE_REPLAYED",
    )


async def _look(teller: Teller, member: str) -> None:
    teller.chapter("5. The member sees it all")
    await _balance(teller, member, 510)
    purchases = await teller.call("Purchases.", "GET", "/v1/members/me/purchases", token=member)
    check(len(purchases.json["purchases"]) == 3, "expected three purchases")
    entries = await teller.call("The ledger.", "GET", "/v1/members/me/points/entries", token=member)
    check([entry["delta"] for entry in entries.json["entries"]] == [225, 225, 60], "the ledger is not right")
    for name, kind in (("QR_FORMAT_PNG", "image/png"), ("QR_FORMAT_SVG", "image/svg+xml")):
        path = f"/v1/members/me/qr?format={name}"
        image = await teller.call(f"The QR as {kind}.", "GET", path, token=member)
        check(image.content_type == kind, f"expected {kind}, got {image.content_type}")


async def _balance(teller: Teller, member: str, points: int) -> None:
    answer = await teller.call(f"The balance: {points} points.", "GET", "/v1/members/me/points", token=member)
    check(answer.json["balance"] == points, f"expected {points} points")


async def _exchange(teller: Teller, shop: Mapping[str, str], member: str) -> Any:
    teller.chapter("6. Points become a coupon")
    path = f"/v1/offers/{shop['voucher_id']}"
    offer = await teller.call("Anybody may look at the coupon, without a login.", "GET", path)
    check(offer.json["offer"]["price_points"] == 500, "the coupon has another price")
    order = {"voucher_id": shop["voucher_id"]}
    key = secrets.token_hex(4)
    placed = await teller.call(
        "500 points for the coupon.", "POST", "/v1/members/me/orders", order, token=member, key=key
    )
    check(placed.json["order"]["state"] == "ORDER_STATE_COMPLETED", "the order did not complete")
    again = await teller.call(
        "The same key again: the same order.", "POST", "/v1/members/me/orders", order, token=member, key=key
    )
    check(again.json == placed.json, "the same key gave another order")
    await teller.call(
        "Too few points for a second one: refused, and nothing moves.",
        "POST",
        "/v1/members/me/orders",
        order,
        token=member,
        key=secrets.token_hex(4),
        status=BAD_REQUEST,
        reason="INSUFFICIENT_POINTS",
    )
    await _balance(teller, member, 10)
    wallet_id = placed.json["order"]["wallet_voucher_id"]
    path = f"/v1/members/me/vouchers/{wallet_id}"
    mine = await teller.call("The coupon with its code.", "GET", path, token=member)
    scanned = await teller.scan("Its QR ...", f"{path}/qr", member)
    check(scanned == mine.json["voucher"]["code"], "the QR holds another code")
    return mine.json["voucher"]


async def _redeem(teller: Teller, rest: Rest, shop: Mapping[str, str], coupon: Mapping[str, Any]) -> None:
    teller.chapter("7. The till redeems the coupon")
    code = {"code": coupon["code"]}
    till = shop["till"]
    await teller.call("Is it good?", "POST", "/v1/codes:verify", code, token=till)
    sale = code | {"sale_reference": "R-5", "till_number": "1"}
    first = await teller.call("It is: redeemed.", "POST", "/v1/codes:redeem", sale, token=till)
    again = await teller.call(
        "The same sale again: the same answer.", "POST", "/v1/codes:redeem", sale, token=till
    )
    check(again.json == first.json, "the second answer differs from the first")
    for meaning, other in (
        ("In another sale: refused, and the till learns why.", {"sale_reference": "R-6"}),
        ("At another till, whose receipt has the same number: refused.", {"till_number": "2"}),
    ):
        await teller.call(
            meaning,
            "POST",
            "/v1/codes:redeem",
            sale | other,
            token=till,
            status=BAD_REQUEST,
            reason="CODE_ALREADY_USED",
        )
    _, stranger = await rest.register(shop["admin"], random_phone(), "A Stranger")
    await teller.call(
        "A stranger asks about it and learns nothing.",
        "POST",
        "/v1/codes:verify",
        code,
        token=stranger,
        status=NOT_FOUND,
        reason="CODE_NOT_VALID",
    )


async def _account_for(teller: Teller, shop: Mapping[str, str]) -> None:
    teller.chapter("12. Who did what")
    for meaning, target, action in (
        ("What was done to the till.", shop["client_id"], "client.created"),
        ("What was done to the coupon, in another service.", shop["voucher_id"], "voucher.created"),
        ("What was done to the table's purchase, in a third.", shop["table_id"], "purchase.refunded"),
    ):
        path = f"/v1/audit-entries?target_id={target}"
        listed = await teller.call(meaning, "GET", path, token=shop["admin"])
        check([entry["action"] for entry in listed.json["entries"]] == [action], f"expected {action}")
    path = f"/v1/orders?member_id={shop['member_id']}&voucher_id={shop['voucher_id']}&with_total=true"
    orders = await teller.call(
        "The member's orders of the coupon, for staff.", "GET", path, token=shop["admin"]
    )
    check(orders.json["total"] == {"count": 2, "more": False}, "expected one order, and one that failed")
    path = f"/v1/redemptions?code_set_id={shop['voucher_id']}"
    used = await teller.call("What the coupon was used for.", "GET", path, token=shop["admin"])
    check([one["sale_reference"] for one in used.json["redemptions"]] == ["R-5"], "expected the sale R-5")


async def _running() -> Endpoints | None:
    """Returns the platform of `make up`, when it is up."""
    try:
        endpoints = Endpoints.read(DataFolder(read_settings().data_folder).endpoints)
        status, _ = await request(int(endpoints.ops_url.rpartition(":")[2]), "/ready")
    except OSError:
        return None
    return endpoints if status == OK else None


async def _tell_to(endpoints: Endpoints) -> None:
    calls = await tell(endpoints.edge_url, endpoints.admin_user_name, endpoints.admin_password)
    print(f"\nThat is the story: {calls} calls, each as it should be.")


def main() -> None:
    """Finds or starts a platform and runs the story."""
    endpoints = asyncio.run(_running())
    try:
        if endpoints:
            print(f"Telling it to the platform at {endpoints.edge_url}.")
            asyncio.run(_tell_to(endpoints))
        else:
            print("No platform runs: starting one for the story (to keep one running: make up).", flush=True)
            with running_stack() as own:
                asyncio.run(_tell_to(own.endpoints))
    except StoryError as error:
        print(f"\nThis is not as it should be: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    assert Path("protos").is_dir(), "run it from the project's root"
    main()
