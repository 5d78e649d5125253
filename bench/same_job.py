"""Before anything is measured: what is compared must do the same, and refuse the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from bench.children import BenchError
from bench.codes import code_text
from bench.rig import PEER, SCRIP, Rig
from bench.world import PRICE_POINTS
from stack.rest import Rest, item, receipt

CONFLICT, UNAUTHENTICATED = 409, 401


def check(rig: Rig) -> None:
    """Raises BenchError when Scrip and the peer do not do the same with the same requests."""
    scrip, peer = (asyncio.run(_story(rig, target)) for target in (SCRIP, PEER))
    if scrip != peer:
        raise BenchError(f"not the same job:\n  Scrip: {scrip}\n  peer:  {peer}")


async def _story(rig: Rig, target: str) -> list[Any]:
    member, till = rig.world.members[0], rig.world.tills[0]
    now = datetime.now(UTC).isoformat()
    lines = [item("100", "Garden table", 60_000), item("200", "Red wine", 2_000, alcohol=True)]
    given = receipt(member.code, "same-job", now, *lines)
    async with Rest(f"http://127.0.0.1:{rig.ports[target]}") as rest:
        first = await rest.call("POST", "/v1/purchases", given, token=till)
        again = await rest.call("POST", "/v1/purchases", given, token=till)
        other = await rest.call("POST", "/v1/purchases", given | {"items": lines[:1]}, token=till)
        unknown = await rest.call(
            "POST", "/v1/purchases", given | {"member_code": "NOBODY", "receipt_number": "x"}, token=till
        )
        empty = await rest.call("POST", "/v1/purchases", given | {"items": []}, token=till)
        forged = await rest.call("GET", "/v1/members/me/points", token=f"{member.token}x")
        order = {"voucher_id": rig.world.voucher_id}
        placed = await rest.call(
            "POST", "/v1/members/me/orders", order, token=member.token, key="same-job-order"
        )
        repeated = await rest.call(
            "POST", "/v1/members/me/orders", order, token=member.token, key="same-job-order"
        )
        sale = {"code": code_text(0), "sale_reference": "same-job"}
        used = await rest.call("POST", "/v1/codes:redeem", sale, token=till)
        repeated_use = await rest.call("POST", "/v1/codes:redeem", sale, token=till)
        wrong_code = await rest.call("POST", "/v1/codes:redeem", sale | {"code": "NOBODYS"}, token=till)
        balance = await rest.ok("GET", "/v1/members/me/points", token=member.token)
    refused = [
        other.status == CONFLICT,
        forged.status == UNAUTHENTICATED,
        unknown.status,
        empty.status // 100,
        wrong_code.status,
    ]
    if (first.json, placed.json, used.json) != (again.json, repeated.json, repeated_use.json):
        raise BenchError(f"{target}: the same request got another answer the second time")
    purchase = {
        key: value
        for key, value in first.json["purchase"].items()
        if key not in ("id", "recorded_at", "sold_at")
    }
    bill = [placed.json["order"][key] for key in ("state", "price_points", "voucher_id")]
    after = balance["balance"] - first.json["balance_after"] + PRICE_POINTS
    told = ("sale_reference", "redeemed_by", "code_set_id", "member_id")
    use = [used.json["redemption"][key] for key in told] + [used.json["redemption"]["benefit"]["amount_off"]]
    bought = [first.status, purchase, first.json["balance_after"]]
    return [*bought, placed.status, bill, after, *use, *refused]
