"""Receipts as tills send them, decoded and judged by the rules that hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from uuid import UUID

from scrip.points.v1 import purchase_pb2

from services.common.encoding import moment, refuse_nul
from services.common.errors import invalid_field
from services.common.idempotency import fingerprint
from services.common.ids import new_id, utc_now
from services.common.line_totals import usual_total
from services.points.earning import Item, RuleBook
from services.points.programme import Programme
from services.points.purchases.member_codes import read_member_code
from services.points.purchases.purchase import Claim, NewPurchase, ReceiptKey, new_claim_code
from services.points.purchases.refusals import total_mismatch

_usual_fields = attrgetter("sku", "name", "category", "unit_price_minor", "quantity", "alcohol")
_new_item: Callable[[tuple[object, ...]], Item] = partial(tuple.__new__, Item)


class ReceiptDecoder:
    """Turns receipts into purchases to be recorded, with what they would earn or why they are refused."""

    def __init__(self, programme: Programme, rules: RuleBook) -> None:
        self._programme = programme
        self._rules = rules

    def decode(self, request: purchase_pb2.RecordPurchaseRequest, client_id: UUID) -> NewPurchase:
        """Returns the receipt of a client, which the contract's rules have found valid.

        Raises MEMBER_CODE_UNKNOWN for what can not be a code, and VALIDATION_FAILED for what those rules
        can not express.
        """
        code = request.member_code
        if code:
            request.member_code = code = read_member_code(code)
        items = items_of(request.items)
        redemption_ids = _redemption_ids(request) if request.redemption_ids else ()
        content = request.SerializePartialToString(deterministic=True)
        if b"\0" in content:
            _refuse_nul(request)
        sold_at = _sold_at(request)
        rules = self._rules.current
        terms = rules.at(sold_at)
        total, eligible, points = terms.judge(items)
        refusal = self._programme.refusal(
            currency_code=request.currency_code,
            sold_at=sold_at,
            total_minor=total,
            points=points,
            now=utc_now(),
        )
        if request.HasField("total_minor") and request.total_minor != total:
            refusal = total_mismatch(request.total_minor, total)
        return NewPurchase(
            key=ReceiptKey(client_id, request.till_number, request.receipt_number),
            fingerprint=fingerprint(content),
            id=new_id(),
            member_code=code,
            sold_at=sold_at,
            currency_code=request.currency_code,
            total_minor=total,
            eligible_minor=eligible,
            points=points,
            items=items,
            rule_set_id=rules.id,
            line_rules=rules.places(terms.line_rules(items)),
            redemption_ids=redemption_ids,
            bonus=terms.bonus,
            claim=None if code else Claim(new_claim_code(), self._programme.claim_until(sold_at)),
            refusal=refusal,
        )


def items_of(lines: Iterable[purchase_pb2.PurchaseItem]) -> list[Item]:
    """Returns the lines of a receipt, each with its total.

    A total that a line would have anyway is taken out of the message: told or not, it is the same receipt.
    """
    items: list[Item] = []
    for line in lines:
        sku, name, category, price, quantity, alcohol = _usual_fields(line)
        if quantity and not line.HasField("total_minor"):  # nearly always, and on the hottest path
            items.append(_new_item((sku, name, category, price, quantity, alcohol, 0, price * quantity)))
        else:
            total = _total(line)
            items.append(Item(sku, name, category, price, quantity, alcohol, line.quantity_milli, total))
    return items


def _total(line: purchase_pb2.PurchaseItem) -> int:
    usual = usual_total(line.unit_price_minor, line.quantity, line.quantity_milli)
    if not line.HasField("total_minor"):
        return usual
    total = line.total_minor
    if total == usual:
        line.ClearField("total_minor")
    return total


def _redemption_ids(request: purchase_pb2.RecordPurchaseRequest) -> Sequence[UUID]:
    """Returns the ids, which from now on are written in the request as ours are.

    Raises VALIDATION_FAILED for one that is there twice, in other letters.
    """
    ids = tuple(map(UUID, request.redemption_ids))
    if len(set(ids)) < len(ids):
        raise invalid_field("redemption_ids", "must not hold an id twice")
    request.redemption_ids[:] = [str(redemption_id) for redemption_id in ids]
    return ids


def _sold_at(request: purchase_pb2.RecordPurchaseRequest) -> datetime:
    sold_at = moment(request, "sold_at")
    assert sold_at is not None, "the contract requires it"
    return sold_at


def _refuse_nul(request: purchase_pb2.RecordPurchaseRequest) -> None:
    """Raises VALIDATION_FAILED for the first text with a NUL character, which can not be stored."""
    texts = {"receipt_number": request.receipt_number, "till_number": request.till_number}
    for index, item in enumerate(request.items):
        texts |= {
            f"items[{index}].sku": item.sku,
            f"items[{index}].name": item.name,
            f"items[{index}].category": item.category,
        }
    refuse_nul(**texts)
