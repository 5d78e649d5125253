"""Entries and expiries as protobuf has them. Serves the handlers of other rooms too."""

from __future__ import annotations

from typing import assert_never

from scrip.points.v1 import points_pb2

from services.common.encoding import set_timestamp, timestamp
from services.points.ledger.entries import (
    Cause,
    EntryKind,
    LedgerEntry,
    OfAdjustment,
    OfClosing,
    OfExpiry,
    OfImportLine,
    OfOrder,
    OfPurchase,
)
from services.points.ledger.queries import Expiry


def entry(row: LedgerEntry) -> points_pb2.Entry:
    """Returns an entry."""
    encoded = points_pb2.Entry(
        sequence=row.sequence,
        kind=_kind(row.kind),
        delta=row.delta,
        balance_after=row.balance_after,
        occurred_at=timestamp(row.occurred_at),
        debt_delta=row.debt_delta,
        reason=row.reason or "",
    )
    _set_cause(encoded, row.cause)
    return encoded


def expiry(row: Expiry) -> points_pb2.Expiry:
    """Returns points that expire at one moment."""
    return points_pb2.Expiry(expires_at=timestamp(row.expires_at), points=row.points)


def kind_filter(wanted: points_pb2.EntryKind.ValueType) -> EntryKind | None:
    """Returns the kind that a list is asked for; None is every kind."""
    return _KINDS[wanted]


def _set_cause(encoded: points_pb2.Entry, cause: Cause) -> None:
    match cause:
        case OfPurchase(purchase_id):
            encoded.purchase_id = purchase_id
        case OfOrder(order_id):
            encoded.order_id = order_id
        case OfAdjustment(adjustment_id):
            encoded.adjustment_id = adjustment_id
        case OfImportLine(import_id, line):
            encoded.adjustment_import_line.adjustment_import_id = import_id
            encoded.adjustment_import_line.line = line
        case OfExpiry(expired_at):
            set_timestamp(encoded.expired_at, expired_at)
        case OfClosing(event_id):
            encoded.closing_event_id = event_id
        case _:
            assert_never(cause)


def _kind(kind: EntryKind) -> points_pb2.EntryKind.ValueType:  # noqa: PLR0911  # one for each kind
    match kind:
        case EntryKind.EARN:
            return points_pb2.ENTRY_KIND_EARN
        case EntryKind.SPEND:
            return points_pb2.ENTRY_KIND_SPEND
        case EntryKind.SPEND_UNDONE:
            return points_pb2.ENTRY_KIND_SPEND_UNDONE
        case EntryKind.REFUND:
            return points_pb2.ENTRY_KIND_REFUND
        case EntryKind.ADJUST:
            return points_pb2.ENTRY_KIND_ADJUST
        case EntryKind.EXPIRE:
            return points_pb2.ENTRY_KIND_EXPIRE
        case EntryKind.FORFEIT:
            return points_pb2.ENTRY_KIND_FORFEIT
        case _:
            assert_never(kind)


_KINDS: dict[points_pb2.EntryKind.ValueType, EntryKind | None] = {
    points_pb2.ENTRY_KIND_UNSPECIFIED: None,
    **{_kind(kind): kind for kind in EntryKind},
}
