"""A part of the demo's story: who stands at the counter, and who works there."""

from __future__ import annotations

from collections.abc import Mapping

from stack.teller import Teller, check


async def look_up(teller: Teller, shop: Mapping[str, str], member: str) -> None:
    """The till looks the member up; the admin sees who did, and what an admin may do."""
    shown = await teller.call("The member shows its code ...", "GET", "/v1/members/me/code", token=member)
    code = {"member_code": shown.json["member_code"]}
    meaning = "... and the till sees who it greets, and what she has."
    found = await teller.call(meaning, "POST", "/v1/members:lookUp", code, token=shop["till"])
    told = found.json
    check(told["member"]["full_name"] == "Ada L.", f"expected a masked name, got {told['member']}")
    check(told["points"]["balance"] == 10, f"expected 10 points, got {told['points']}")
    check(len(told["coupons"]) == 1, f"expected a coupon, got {told['coupons']}")
    check(len(told["rewards"]) >= 1, "expected a reward")
    path = f"/v1/look-ups?member_id={shop['member_id']}"
    looks = await teller.call("The admin sees which till looked.", "GET", path, token=shop["admin"])
    check(looks.json["look_ups"][0]["caller_id"] == shop["client_id"], "another till looked")
    me = await teller.call("And who an admin is, and may do.", "GET", "/v1/me", token=shop["admin"])
    check(me.json["myself"]["role"] == "ROLE_ADMIN", f"expected an admin, got {me.json['myself']['role']}")
