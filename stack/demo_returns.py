"""The part of the story in which staff change what is earned, and goods come back."""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from stack.rest import item, receipt
from stack.teller import Teller, check

RULE_SECONDS = 2.0
"""After so long at most, tills' receipts are judged by a new rule."""


async def change_and_return(teller: Teller, shop: Mapping[str, str], member: str) -> None:
    """A rule doubles a category, a chair and a table come back, and staff make amends. Raises StoryError."""
    teller.chapter("8. A rule, two returns, and amends")
    admin, category = shop["admin"], f"garden-{secrets.token_hex(3)}"
    chairs = item("101", "Garden chair", 7_500, quantity=2, category=category)
    double = {"name": "Garden week", "multiplier": {"percent": 200, "categories": [category]}}
    rule = await teller.call(
        "Garden week: that category counts double.", "POST", "/v1/earn-rules", double, token=admin
    )
    tried = await teller.call(
        "What would two chairs at $75 earn, and why?",
        "POST",
        "/v1/earn-rules:dryRun",
        {"items": [chairs]},
        token=admin,
    )
    check(tried.json["points"] == 30, "expected 30 points")
    why = tried.json["lines"][0]["multiplying_earn_rule_id"]
    check(why == rule.json["rule"]["id"], "the rule is not why")
    await asyncio.sleep(RULE_SECONDS)
    code = await teller.call("The member buys them ...", "GET", "/v1/members/me/code", token=member)
    sold = receipt(code.json["member_code"], "R-7", datetime.now(UTC).isoformat(), chairs)
    bought = await teller.call("... for 30 points.", "POST", "/v1/purchases", sold, token=shop["till"])
    check(bought.json["purchase"]["points"] == 30, "expected 30 points")
    purchase_id = bought.json["purchase"]["id"]
    await _weigh(teller, shop, code.json["member_code"])
    await _return(teller, shop, member, purchase_id)
    path = f"/v1/earn-rules/{rule.json['rule']['id']}"
    await teller.call("Garden week is over.", "DELETE", path, token=admin)
    kept = await teller.call(
        "What was bought in it keeps it.", "GET", f"/v1/members/me/purchases/{purchase_id}", token=member
    )
    check(kept.json["details"]["lines"][0]["earn_percent"] == 200, "the past has changed")
    await teller.call(
        "What expires when: nothing, unless SCRIP_EXPIRE_MONTHS is set.",
        "GET",
        "/v1/members/me/points/expiries",
        token=member,
    )


async def _weigh(teller: Teller, shop: Mapping[str, str], member_code: str) -> None:
    gouda = {"sku": "30", "name": "Gouda", "unit_price_minor": "1999", "quantity_milli": 345}
    jam = item("31", "Jam", 100, quantity=3) | {"total_minor": "200"}
    sold = receipt(member_code, "R-8", datetime.now(UTC).isoformat(), gouda, jam)
    bought = await teller.call(
        "0.345 kg of Gouda, and three jars of jam for two.", "POST", "/v1/purchases", sold, token=shop["till"]
    )
    check(bought.json["purchase"]["total"]["amount_minor"] == "890", "expected $6.90 and $2.00")
    path = f"/v1/purchases/{bought.json['purchase']['id']}:refund"
    for number, cost in (("F-1", "66"), ("F-2", "67"), ("F-3", "67")):
        jar = {"refund_number": number, "lines": [{"line": 2, "quantity": 1}]}
        back = await teller.call("A jar comes back.", "POST", path, jar, token=shop["till"])
        check(back.json["refund"]["amount"]["amount_minor"] == cost, f"expected {cost} cents")


async def _return(teller: Teller, shop: Mapping[str, str], member: str, purchase_id: str) -> None:
    chair = {"refund_number": "F-1", "lines": [{"line": 1, "quantity": 1}]}
    path = f"/v1/purchases/{purchase_id}:refund"
    back = await teller.call(
        "A chair comes back, and its 15 points.", "POST", path, chair, token=shop["till"]
    )
    check(back.json["refund"]["points_taken"] == 15, "expected 15 points")
    again = await teller.call(
        "The same refund again: the same answer.", "POST", path, chair, token=shop["till"]
    )
    check(again.content == back.content, "the second answer differs from the first")
    table = await teller.call(
        "The table comes back: of its 60 points 25 are left, 35 are owed.",
        "POST",
        f"/v1/purchases/{shop['table_id']}:refund",
        {"refund_number": "F-2", "reason": "Scratched"},
        token=shop["admin"],
    )
    check(table.json["refund"]["points"] == 60, "expected 60 points")
    amends = {"delta": 50, "reason": "Sorry for the scratch"}
    await teller.call(
        "Staff make amends with 50 points; 35 pay what is owed.",
        "POST",
        f"/v1/members/{shop['member_id']}/points:adjust",
        amends,
        token=shop["admin"],
        key=secrets.token_hex(4),
    )
    seen = await teller.call("The balance: 15 points.", "GET", "/v1/members/me/points", token=member)
    check(seen.json == {"balance": 15, "debt": 0}, "expected 15 points and no debt")
    entries = await teller.call(
        "The ledger says why.", "GET", "/v1/members/me/points/entries?page_size=3", token=member
    )
    check(entries.json["entries"][0]["reason"] == amends["reason"], "the ledger does not say why")
