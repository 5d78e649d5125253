"""A part of the demo's story: a gift of promo points."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from stack.teller import Teller, check

_BAD_REQUEST = 400


async def give_promo(teller: Teller, shop: Mapping[str, str], member: str) -> None:
    """The admin gives 100 promo points; the member uses 30, the till 20 more."""
    teller.chapter("9. A gift of promo points")
    promo = {
        "member_id": shop["member_id"],
        "type": "PROMO_TYPE_COMPENSATION",
        "description": "Sorry for the wait",
        "amount": "100",
    }
    admin, key = shop["admin"], secrets.token_hex(4)
    given = await teller.call(
        "The admin gives the member 100.", "POST", "/v1/promos", promo, token=admin, key=key
    )
    path = f"/v1/members/me/promos/{given.json['promo']['id']}"
    await teller.call("The member sees them.", "GET", "/v1/members/me/promos", token=member)
    some, key = {"amount": "30"}, secrets.token_hex(4)
    used = await teller.call("And uses 30.", "POST", f"{path}:use", some, token=member, key=key)
    again = await teller.call("Sent again: once.", "POST", f"{path}:use", some, token=member, key=key)
    check(again.json == used.json, "the second answer differs from the first")
    left = await teller.call("70 are left.", "GET", path, token=member)
    check(left.json["promo"]["remaining"] == "70", f"expected 70, got {left.json}")
    await teller.call(
        "More than there are: refused.",
        "POST",
        f"{path}:use",
        {"amount": "71"},
        token=member,
        key=secrets.token_hex(4),
        status=_BAD_REQUEST,
        reason="PROMO_POINTS_INSUFFICIENT",
    )
    shown = await teller.call("The member shows its code ...", "GET", "/v1/members/me/code", token=member)
    sale = {"member_code": shown.json["member_code"], "amount": "20", "sale_reference": secrets.token_hex(4)}
    at_till = await teller.call(
        "... and the till uses 20.", "POST", "/v1/promos:use", sale, token=shop["till"]
    )
    check(at_till.json["uses"][0]["remaining"] == "50", f"expected 50, got {at_till.json}")
