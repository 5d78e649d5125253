"""Entries and expiries as protobuf has them. Serves the handlers of other rooms too."""

from __future__ import annotations

from typing import assert_never

from scrip.points.v1 import points_pb2

from services.common.encoding import timestamp
from services.points.ledger.entries import EntryKind, LedgerEntry
from services.points.ledger.queries import Expiry


def entry(row: LedgerEntry) -> points_pb2.Entry:
    """Returns an entry."""
    return points_pb2.Entry(
        sequence=row.sequence,
        kind=_kind(row.kind),
        delta=row.delta,
        balance_after=row.balance_after,
        reference=row.reference,
        occurred_at=timestamp(row.occurred_at),
        debt_delta=row.debt_delta,
        reason=row.reason or "",
    )


def expiry(row: Expiry) -> points_pb2.Expiry:
    """Returns points that expire at one moment."""
    return points_pb2.Expiry(expires_at=timestamp(row.expires_at), points=row.points)


def kind_filter(wanted: points_pb2.EntryKind.ValueType) -> EntryKind | None:
    """Returns the kind that a list is asked for; None is every kind."""
    return _KINDS[wanted]


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
