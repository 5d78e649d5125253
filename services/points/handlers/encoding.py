"""Points' rows as protobuf has them."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.points.v1 import points_pb2, purchase_pb2

from services.common.encoding import timestamp
from services.points.purchases import Purchase
from services.points.queries import EntryRow

_KIND = "ENTRY_KIND_"


def purchase(row: Purchase) -> purchase_pb2.Purchase:
    """A purchase."""
    return purchase_pb2.Purchase(
        id=str(row.id),
        receipt_number=row.receipt_number,
        till_number=row.till_number,
        sold_at=timestamp(row.sold_at),
        recorded_at=timestamp(row.recorded_at),
        total=money_pb2.Money(currency_code=row.currency_code, amount_minor=row.total_minor),
        eligible=money_pb2.Money(currency_code=row.currency_code, amount_minor=row.eligible_minor),
        points=row.points,
        earn_rule=row.earn_rule,
    )


def entry(row: EntryRow) -> points_pb2.Entry:
    """A movement of points."""
    return points_pb2.Entry(
        sequence=row.sequence,
        kind=points_pb2.EntryKind.Value(_KIND + row.kind),
        delta=row.delta,
        balance_after=row.balance_after,
        reference=row.reference,
        occurred_at=timestamp(row.occurred_at),
    )


def kind_filter(kind: points_pb2.EntryKind.ValueType) -> str | None:
    """A filter of kinds as rows have it; None is every kind."""
    if kind == points_pb2.ENTRY_KIND_UNSPECIFIED:
        return None
    return points_pb2.EntryKind.Name(kind).removeprefix(_KIND)
