"""Over REST: lines by weight and with totals of their own, redemptions, and dry runs of tills."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests import invariants
from tests.e2e.points import details, line, record, refund, refunded, sale
from tests.platform import Member, Platform

GOUDA = {"sku": "30", "name": "Gouda", "unit_price_minor": "1999", "quantity_milli": 345}


def _back(number: str, **amount: Any) -> dict[str, Any]:
    return {"refund_number": number, "lines": [{"line": 1} | amount]}


@pytest.mark.covers("P1 PurchaseService.RecordPurchase", "P5 PurchaseService.RefundPurchase")
async def test_a_line_by_weight_and_three_for_two(live: Platform, member: Member, till: str) -> None:
    three = line(500, 3) | {"total_minor": "1000"}
    redemptions = [str(uuid4())]
    body = sale(member, GOUDA, three) | {"total_minor": "1690", "redemption_ids": redemptions}
    told = await record(live, till, body)
    assert told["purchase"]["total"]["amount_minor"] == "1690"
    assert (told["balance_after"], told["member_suspended"]) == (1, False)
    assert told["purchase"]["redemption_ids"] == redemptions
    usual = body | {"items": [GOUDA | {"total_minor": "690"}, three]}
    assert await record(live, till, usual) == told
    kept = await details(live, till, told["purchase"]["id"])
    first, second = kept["lines"]
    assert (first["item"]["quantity_milli"], first["quantity_left_milli"]) == (345, 345)
    assert (first["item"]["total_minor"], "quantity" in first["item"]) == ("690", False)
    assert (second["item"]["total_minor"], second["quantity_left"]) == ("1000", 3)
    purchase_id = told["purchase"]["id"]
    some = await refunded(live, till, purchase_id, _back("F-1", quantity_milli=100))
    assert some["refund"]["amount"]["amount_minor"] == "200"
    assert some["refund"]["lines"] == [{"line": 1, "quantity_milli": 100}]
    path = f"/v1/purchases/{purchase_id}:refund"
    whole = await live.refused("POST", path, _back("F-2", quantity=1), token=till)
    assert (whole.status, whole.reason) == (400, "VALIDATION_FAILED")
    more = await live.refused("POST", path, _back("F-2", quantity_milli=246), token=till)
    assert (more.reason, more.metadata["quantity_left"]) == ("REFUND_EXCEEDS_PURCHASE", "0.245")
    rest = await refunded(live, till, purchase_id, refund())
    assert rest["refund"]["amount"]["amount_minor"] == "1490"
    assert await live.balance(member) == 0
    invariants.check(live.databases)


@pytest.mark.covers("P3 EarnRuleService.DryRunPurchase")
async def test_a_till_tries_a_receipt_for_a_customer(live: Platform, member: Member, till: str) -> None:
    wanted = {"items": [GOUDA, line(1_000)], "member_code": member.code}
    tried = await live.ok("POST", "/v1/earn-rules:dryRun", wanted, token=till)
    assert (tried["points"], tried["total"]["amount_minor"]) == (1, "1690")
    assert tried["member_suspended"] is False
    unknown = wanted | {"member_code": "0123456789AB"}
    refused = await live.refused("POST", "/v1/earn-rules:dryRun", unknown, token=till)
    assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")
    assert await live.balance(member) == 0
