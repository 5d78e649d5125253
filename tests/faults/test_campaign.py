"""Whatever breaks under orders for points and money: each of them ends, and every book agrees."""

from __future__ import annotations

import pytest

from tests.faults.campaign import run_campaign
from tests.faults.faults import SHORT, Breakable

SEED = 11


@pytest.mark.covers(
    "V3 OrderService.PlaceOrder", "V7 OrderService.CancelMyOrder", "V7 OrderService.RefundOrder"
)
@pytest.mark.timeout(600)
async def test_every_order_is_definite_and_every_book_agrees_after_each_fault(broken: Breakable) -> None:
    told = await run_campaign(broken, SEED, SHORT)
    assert told.unanswered > 0, "nobody noticed"
    ends = {"COMPLETED", "REFUNDED", "PAYMENT_DECLINED", "INSUFFICIENT_POINTS", "AWAITING_PAYMENT"}
    assert ends <= set(told.ends), told.ends
