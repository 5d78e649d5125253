"""Points' rows as protobuf has them."""

from __future__ import annotations

from google.protobuf.message import Message
from scrip.points.v1 import admin_pb2, points_pb2

from services.common.encoding import moment, timestamp
from services.common.errors import invalid_field
from services.points.adjustments.queries import ImportRow
from services.points.ledger.entry_queries import EntryRow
from services.points.ledger.lot_queries import ExpiryRow
from services.points.periods import Period

_KIND = "ENTRY_KIND_"


def refuse_nul(**texts: str) -> None:
    """Raises VALIDATION_FAILED for a field with a NUL character, which can not be stored."""
    for field, value in texts.items():
        if "\0" in value:
            raise invalid_field(field, "must not contain a NUL character")


def entry(row: EntryRow) -> points_pb2.Entry:
    """A movement of points."""
    return points_pb2.Entry(
        sequence=row.sequence,
        kind=points_pb2.EntryKind.Value(_KIND + row.kind),
        delta=row.delta,
        balance_after=row.balance_after,
        reference=row.reference,
        occurred_at=timestamp(row.occurred_at),
        debt_delta=row.debt_delta,
        reason=row.reason or "",
    )


def expiry(row: ExpiryRow) -> points_pb2.Expiry:
    """Points that expire at one moment."""
    return points_pb2.Expiry(expires_at=timestamp(row.expires_at), points=row.points)


def adjustment_import(row: ImportRow) -> admin_pb2.AdjustmentImport:
    """An import and how far it is."""
    finished = row.finished_at is not None
    return admin_pb2.AdjustmentImport(
        id=str(row.id),
        state=admin_pb2.IMPORT_STATE_FINISHED if finished else admin_pb2.IMPORT_STATE_RUNNING,
        lines=row.lines,
        done=row.done,
        refused=row.refused,
        created_by=row.created_by,
        created_at=timestamp(row.created_at),
        finished_at=timestamp(row.finished_at),
    )


def period(request: Message) -> Period:
    """The period that a list is asked for. Raises VALIDATION_FAILED when it ends before it begins."""
    wanted = Period(moment(request, "from"), moment(request, "until"))
    if wanted.start and wanted.end and wanted.end <= wanted.start:
        raise invalid_field("until", "must be later than from")
    return wanted


def kind_filter(kind: points_pb2.EntryKind.ValueType) -> str | None:
    """A filter of kinds as rows have it; None is every kind."""
    if kind == points_pb2.ENTRY_KIND_UNSPECIFIED:
        return None
    return points_pb2.EntryKind.Name(kind).removeprefix(_KIND)
