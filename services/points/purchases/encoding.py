"""Purchases as protobuf has them. Handlers of other rooms use it too."""

from __future__ import annotations

from scrip.points.v1 import purchase_pb2

from services.common.encoding import set_timestamp
from services.points.earning import AppliedRules, Item
from services.points.earning.encoding import set_applied
from services.points.purchases.purchase import Purchase


def purchase(row: Purchase, rules: AppliedRules) -> purchase_pb2.Purchase:
    """Returns a purchase as protobuf has it, with the rules that held for it (`RuleBook.applied`)."""
    encoded = purchase_pb2.Purchase()
    _set_purchase(encoded, row, rules)
    return encoded


def recorded(row: Purchase, rules: AppliedRules) -> purchase_pb2.RecordPurchaseResponse:
    """Returns the result of a receipt."""
    reply = purchase_pb2.RecordPurchaseResponse()
    set_recorded(reply, row, rules)
    return reply


def set_recorded(reply: purchase_pb2.RecordPurchaseResponse, row: Purchase, rules: AppliedRules) -> None:
    """Writes the result of a receipt in its place: a message that is put into another one is copied."""
    _set_purchase(reply.purchase, row, rules)
    if row.balance_after is not None:
        reply.balance_after = row.balance_after
    if row.claim:
        reply.claim.claim_code = row.claim.code
        set_timestamp(reply.claim.claim_until, row.claim.until)
        reply.member_suspended = row.claim.member_suspended


def item(sold: Item) -> purchase_pb2.PurchaseItem:
    """Returns a line of a receipt as protobuf has it, with its total."""
    encoded = purchase_pb2.PurchaseItem(
        sku=sold.sku,
        name=sold.name,
        category=sold.category,
        unit_price_minor=sold.unit_price_minor,
        alcohol=sold.alcohol,
        total_minor=sold.total_minor,
    )
    if sold.quantity_milli:
        encoded.quantity_milli = sold.quantity_milli
    else:
        encoded.quantity = sold.quantity
    return encoded


def _set_purchase(encoded: purchase_pb2.Purchase, row: Purchase, rules: AppliedRules) -> None:
    encoded.id = str(row.id)
    encoded.receipt_number = row.receipt_number
    encoded.till_number = row.till_number
    set_timestamp(encoded.sold_at, row.sold_at)
    set_timestamp(encoded.recorded_at, row.recorded_at)
    encoded.total.currency_code = row.currency_code
    encoded.total.amount_minor = row.total_minor
    encoded.eligible.currency_code = row.currency_code
    encoded.eligible.amount_minor = row.eligible_minor
    encoded.points = row.points
    encoded.bonus_points = row.bonus
    if not rules.encoded:
        rules.encoded = _encoded(rules)
    encoded.MergeFromString(rules.encoded)
    if row.redemption_ids:
        encoded.redemption_ids.extend(map(str, row.redemption_ids))


def _encoded(rules: AppliedRules) -> bytes:
    """Returns a purchase that has nothing but its rules."""
    alone = purchase_pb2.Purchase()
    for rule in rules.rules:
        set_applied(alone.applied_rules.add(), rule)
    return alone.SerializeToString()
