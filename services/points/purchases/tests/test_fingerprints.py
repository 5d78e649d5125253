"""What was expressible before keeps its fingerprint, so that an old receipt sent again gets its first answer.

The fingerprints in here were written down when lines had whole quantities and no totals of their own.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from scrip.points.v1 import purchase_pb2

from services.common.errors import DomainError
from services.points.earning import Rate, RuleBook, RuleSet
from services.points.programme import Programme, RefundPolicy
from services.points.purchases.purchase import NewPurchase
from services.points.purchases.receipts import ReceiptDecoder

TILL = UUID(int=1)
BREAD: dict[str, Any] = {
    "sku": "4711",
    "name": "Bread",
    "category": "bakery",
    "unit_price_minor": 449,
    "quantity": 2,
}
WINE: dict[str, Any] = {"sku": "1", "name": "Wine Ü", "unit_price_minor": 0, "quantity": 100_000}
ID = "0199aabb-0000-7000-8000-00000000abcd"


class FixedRules:
    """One set of rules, without a database."""

    current = RuleSet(1, Rate(1, 1_000), ())


def decode(*lines: dict[str, Any], nanos: int = 0, **fields: Any) -> NewPurchase:
    """Returns a receipt as it is recorded."""
    items = [purchase_pb2.PurchaseItem(**line) for line in lines]
    request = purchase_pb2.RecordPurchaseRequest(items=items, currency_code="USD", **fields)
    request.sold_at.seconds, request.sold_at.nanos = 1_767_225_600, nanos
    programme = Programme("USD", ZoneInfo("UTC"), 0, 30, RefundPolicy.DEBT, 0)
    return ReceiptDecoder(programme, cast(RuleBook, FixedRules())).decode(request, TILL)


def told(*lines: dict[str, Any], **fields: Any) -> str:
    """Returns the fingerprint of a receipt."""
    return decode(*lines, **fields).fingerprint.hex()


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
def test_old_receipts_have_the_fingerprints_that_they_had() -> None:
    assert told(BREAD, member_code="0123456789AB", receipt_number="R-1") == (
        "9254831e3848e99325693c19bb0987a43a1ba9e1df4adc095e4d159f8a5d80cf"
    )
    everything = {"member_code": " 01234-56789ab ", "receipt_number": "R-2", "till_number": "T-7"}
    assert told(BREAD, WINE | {"alcohol": True}, total_minor=898, nanos=789, **everything) == (
        "625d4bc9a8d000dd39e0ceefdce0d011de4f27cff6e8a4af494aa92773665234"
    )
    free = {"sku": "2", "name": "Free", "unit_price_minor": 0, "quantity": 1}
    assert told(free, receipt_number="R-3", total_minor=0) == (
        "d6094f7cc85e741f4dc491f9516e2a84a191f78b6a05b47f062bd44e0b10aa86"
    )
    many = [
        {"sku": str(n), "name": "x" * n, "category": "c", "unit_price_minor": n, "quantity": n}
        for n in range(1, 101)
    ]
    assert told(*many, receipt_number="R-4") == (
        "1c08113d4b436044a119f9a0dd8b26101c4d511076134446d538d3299e11dd36"
    )


def test_a_total_that_the_line_has_anyway_makes_no_other_receipt() -> None:
    plain = told(BREAD, receipt_number="R-1")
    assert told(BREAD | {"total_minor": 898}, receipt_number="R-1") == plain
    assert told(BREAD | {"total_minor": 897}, receipt_number="R-1") != plain
    assert told(BREAD | {"total_minor": 0}, receipt_number="R-1") != plain
    free = BREAD | {"unit_price_minor": 0}
    assert told(free | {"total_minor": 0}, receipt_number="R-1") == told(free, receipt_number="R-1")
    cheese = {"sku": "7", "name": "Cheese", "unit_price_minor": 1_999, "quantity_milli": 345}
    usual = told(cheese, receipt_number="R-1")
    assert told(cheese | {"total_minor": 690}, receipt_number="R-1") == usual
    assert told(cheese | {"total_minor": 689}, receipt_number="R-1") != usual
    assert told(cheese | {"quantity_milli": 346}, receipt_number="R-1") != usual


def test_two_pieces_are_not_two_thousand_thousandths() -> None:
    pieces = BREAD | {"unit_price_minor": 1_000}
    weighed = {name: value for name, value in pieces.items() if name != "quantity"} | {
        "quantity_milli": 2_000
    }
    assert decode(pieces).total_minor == decode(weighed).total_minor == 2_000
    assert told(pieces) != told(weighed), "they come back in different units"


def test_redemptions_are_part_of_the_receipt_in_whatever_letters() -> None:
    plain = told(BREAD)
    other = str(uuid4())
    assert told(BREAD, redemption_ids=[ID]) != plain
    assert told(BREAD, redemption_ids=[ID.upper()]) == told(BREAD, redemption_ids=[ID])
    assert told(BREAD, redemption_ids=[ID, other]) != told(BREAD, redemption_ids=[other, ID])
    assert decode(BREAD, redemption_ids=[ID.upper(), other]).redemption_ids == (UUID(ID), UUID(other))
    with pytest.raises(DomainError, match="twice") as refused:
        decode(BREAD, redemption_ids=[ID, ID.upper()])
    assert [violation.field for violation in refused.value.fields] == ["redemption_ids"]


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
def test_the_totals_of_lines_count() -> None:
    cheese = {"sku": "7", "name": "Cheese", "unit_price_minor": 1_999, "quantity_milli": 345}
    bought = decode(
        BREAD | {"total_minor": 5_000},
        cheese,
        cheese | {"quantity_milli": 100_000_000, "total_minor": 0},
        WINE | {"total_minor": 700, "alcohol": True},
    )
    assert [line.total_minor for line in bought.items] == [5_000, 690, 0, 700]
    assert (bought.total_minor, bought.eligible_minor, bought.points) == (6_390, 5_690, 5)


def test_the_total_of_a_receipt_is_the_sum_of_its_lines_totals() -> None:
    line = BREAD | {"total_minor": 800}
    right, wrong = decode(line, total_minor=800), decode(line, total_minor=898)
    assert right.refusal is None or right.refusal.reason == "SALE_TIME_OUT_OF_RANGE"
    assert wrong.refusal is not None
    assert wrong.refusal.reason == "TOTAL_MISMATCH"
    assert wrong.refusal.metadata == {"total_minor": "898", "sum_minor": "800"}
