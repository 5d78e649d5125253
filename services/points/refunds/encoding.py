"""Refunds as protobuf has them. Handlers of other rooms use it too."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.points.v1 import purchase_pb2

from services.common.encoding import timestamp
from services.points.refunds.rules import Refund, Returned


def refund(row: Refund, currency_code: str) -> purchase_pb2.Refund:
    """Returns a refund of a purchase in this currency as protobuf has it."""
    return purchase_pb2.Refund(
        refund_number=row.number,
        refunded_at=timestamp(row.refunded_at),
        lines=map(_line, row.lines),
        amount=money_pb2.Money(currency_code=currency_code, amount_minor=row.amount_minor),
        points=row.points,
        points_taken=row.taken,
        points_owed=row.owed,
        points_expired=row.expired,
        points_waived=row.waived,
        reason=row.reason,
        recorded_at=timestamp(row.recorded_at),
        voids_purchase=row.voids,
    )


def _line(one: Returned) -> purchase_pb2.RefundLine:
    if one.quantity_milli:
        return purchase_pb2.RefundLine(line=one.line, quantity_milli=one.quantity_milli)
    return purchase_pb2.RefundLine(line=one.line, quantity=one.quantity)
