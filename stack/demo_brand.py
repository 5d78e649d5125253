"""A part of the demo's story: a brand's codes, who takes one, and how the brand learns of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from stack.receiver import Receiver, receiving
from stack.teller import Teller, check

_MADE_SECONDS = 30.0
_BAD_REQUEST = 400
_CONSENT = "/v1/members/me/consent"


async def tell_brand(teller: Teller, shop: Mapping[str, str], member: str) -> None:
    """A brand opens its page, generates codes, and is told who claimed one, with a signature."""
    teller.chapter("10. A brand's codes")
    brand_id, brand = await _open_page(teller, shop)
    discount = await _generate(teller, brand_id, brand)
    async with receiving() as receiver:
        secret = await _subscribe(teller, receiver, brand_id, brand)
        await _claim(teller, discount, member)
        delivered = await receiver.next()
        check(delivered.is_signed_by(secret), "the delivery has another signature")
        told = delivered.json["data"]
        check(told["contact"]["full_name"] == "Ada Lovelace", f"expected the member's name, got {told}")
    claims = f"/v1/brands/{brand_id}/claims?with_contacts=true"
    listed = await teller.call("The brand has them in a list, too.", "GET", claims, token=brand)
    seen = [(one["id"], one["contact"]) for one in listed.json["claims"]]
    check(seen == [(told["claim_id"], told["contact"])], f"expected the same claim, got {listed.json}")
    take_back = {"shares_contact": False, "wording_version": "1"}
    await teller.call("The member takes consent back ...", "PUT", _CONSENT, take_back, token=member)
    hidden = await teller.call("... and the brand sees no contact any more.", "GET", claims, token=brand)
    check("contact" not in hidden.json["claims"][0], f"expected no contact, got {hidden.json}")


async def _open_page(teller: Teller, shop: Mapping[str, str]) -> tuple[str, str]:
    """Returns the brand's id and its manager's token."""
    admin, name = shop["admin"], f"Rosenthal Bakery {secrets.token_hex(2)}"
    page = {"name": name, "category": "Bakery", "description": "Bread since 1904."}
    made = await teller.call(
        "The admin makes a page for a brand.",
        "POST",
        "/v1/brands",
        page,
        token=admin,
        key=secrets.token_hex(4),
    )
    brand_id = made.json["brand"]["brand"]["id"]
    person = {
        "user_name": f"rosenthal.{secrets.token_hex(4)}",
        "full_name": "Rosa Rosenthal",
        "role": "ROLE_BRAND_MANAGER",
        "password": f"bread and {secrets.token_hex(8)}",
        "brand_id": brand_id,
    }
    await teller.call("And an account for its manager.", "POST", "/v1/staff", person, token=admin)
    login = {"password": {"user_name": person["user_name"], "password": person["password"]}}
    session = await teller.call("Who logs in.", "POST", "/v1/sessions", login)
    brand = session.json["token"]["access_token"]
    store = {
        "name": f"{name}, Old Town",
        "address": {"line": "Baker Street 1", "city": "Springfield", "postal_code": "12345", "country": "US"},
        "position": {"latitude": 39.8, "longitude": -89.6},
        "time_zone": "America/Chicago",
    }
    await teller.call(
        "The brand adds a store.",
        "POST",
        f"/v1/brands/{brand_id}/stores",
        store,
        token=brand,
        key=secrets.token_hex(4),
    )
    await teller.call("And shows its page.", "POST", f"/v1/brands/{brand_id}:publish", {}, token=brand)
    found = await teller.call(
        "Anybody finds the store, also by a name with a typing error.",
        "GET",
        "/v1/stores?query=rosental+bakrey&latitude=39.8&longitude=-89.6&radius_meters=5000",
    )
    check(
        any(one["store"]["brand_id"] == brand_id for one in found.json["stores"]), "the store was not found"
    )
    return brand_id, brand


async def _generate(teller: Teller, brand_id: str, brand: str) -> str:
    """Returns the path of a discount that can be claimed."""
    wanted = {
        "name": "20 % off all bread",
        "benefit": {"percent_off": 20, "categories": ["bread"]},
        "quantity": 100,
        "pattern": "BREAD-####-@@@@",
    }
    path = f"/v1/brands/{brand_id}/discounts"
    made = await teller.call(
        "The brand has 100 codes made.", "POST", path, wanted, token=brand, key=secrets.token_hex(4)
    )
    discount: Any = made.json["discount"]
    path = f"{path}/{discount['id']}"
    deadline = time.monotonic() + _MADE_SECONDS
    while discount["codes_made"] < wanted["quantity"]:
        check(time.monotonic() < deadline, f"the codes were not there within {_MADE_SECONDS:g} s")
        await asyncio.sleep(0.5)
        discount = (await teller.call("How far are they?", "GET", path, token=brand)).json["discount"]
    await teller.call("All are there: it opens.", "POST", f"{path}:activate", {}, token=brand)
    return path


async def _subscribe(teller: Teller, receiver: Receiver, brand_id: str, brand: str) -> str:
    """Returns the secret by which the brand knows that a delivery is from Scrip."""
    wanted = {"url": receiver.url, "event_types": ["claim.created"]}
    made = await teller.call(
        "Its own computer wants to be told of claims.",
        "POST",
        f"/v1/brands/{brand_id}/webhooks",
        wanted,
        token=brand,
    )
    path = f"/v1/brands/{brand_id}/webhooks/{made.json['webhook']['id']}:ping"
    secret: str = made.json["secret"]
    await teller.call("Does it arrive?", "POST", path, {}, token=brand)
    check((await receiver.next()).is_signed_by(secret), "the ping has another signature")
    return secret


async def _claim(teller: Teller, discount: str, member: str) -> None:
    key = secrets.token_hex(4)
    await teller.call(
        "The member wants one, and has to agree first.",
        "POST",
        f"{discount}:claim",
        {},
        token=member,
        key=key,
        status=_BAD_REQUEST,
        reason="CONSENT_REQUIRED",
    )
    agreed = {"shares_contact": True, "wording_version": "1"}
    await teller.call("The member agrees.", "PUT", _CONSENT, agreed, token=member)
    claimed = await teller.call(
        "And has a code.", "POST", f"{discount}:claim", {}, token=member, key=secrets.token_hex(4)
    )
    await teller.call(
        "One each: not another.",
        "POST",
        f"{discount}:claim",
        {},
        token=member,
        key=secrets.token_hex(4),
        status=_BAD_REQUEST,
        reason="ALREADY_CLAIMED",
    )
    mine = await teller.call("It is among the member's.", "GET", "/v1/members/me/claims", token=member)
    check(mine.json["claims"][0]["code"] == claimed.json["claim"]["code"], "expected the same code")
