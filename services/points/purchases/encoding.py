"""Purchases as protobuf has them. Handlers of other rooms use it too."""

from __future__ import annotations

from scrip.points.v1 import purchase_pb2

from services.common.encoding import set_timestamp
from services.points.purchases.purchase import Purchase


def purchase(row: Purchase) -> purchase_pb2.Purchase:
    """Returns a purchase as protobuf has it."""
    encoded = purchase_pb2.Purchase()
    _set_purchase(encoded, row)
    return encoded


def recorded(row: Purchase) -> purchase_pb2.RecordPurchaseResponse:
    """Returns the result of a receipt."""
    reply = purchase_pb2.RecordPurchaseResponse()
    set_recorded(reply, row)
    return reply


def set_recorded(reply: purchase_pb2.RecordPurchaseResponse, row: Purchase) -> None:
    """Writes the result of a receipt in its place: a message that is put into another one is copied."""
    _set_purchase(reply.purchase, row)
    reply.balance_after = row.balance_after
    if row.claim:
        reply.claim.claim_code = row.claim.code
        set_timestamp(reply.claim.claim_until, row.claim.until)


def _set_purchase(encoded: purchase_pb2.Purchase, row: Purchase) -> None:
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
    encoded.earn_rule = row.earn_rule
    encoded.bonus_points = row.bonus
