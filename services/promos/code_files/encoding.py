"""Codes and imports as protobuf and CSV have them."""

from __future__ import annotations

from collections.abc import Sequence

from scrip.promos.v1 import code_file_pb2

from services.common.encoding import timestamp
from services.promos.code_files.queries import ImportRow
from services.promos.codes import CodeEvent, ListedCode, code_text, display_code

CSV_COLUMNS = (
    "id",
    "code",
    "code_display",
    "state",
    "owner_member_id",
    "order_id",
    "uses",
    "uses_allowed",
    "expires_at",
    "assigned_at",
    "voided_at",
)


def encode_code(row: ListedCode, *, with_members: bool) -> code_file_pb2.Code:
    """Returns a code as messages have it."""
    return code_file_pb2.Code(
        id=str(row.id),
        code_set_id=str(row.code_set_id),
        code=code_text(row.code, row.pattern, row.written),
        code_display=display_code(row.code, row.pattern, row.written),
        state=code_file_pb2.CodeState.Value(f"CODE_STATE_{row.state}"),
        owner_member_id=str(row.owner_member_id or "") if with_members else "",
        order_id=str(row.order_id or ""),
        uses=row.uses,
        uses_allowed=row.uses_allowed,
        expires_at=timestamp(row.expires_at),
        assigned_at=timestamp(row.assigned_at),
        voided_at=timestamp(row.voided_at),
        void_reason=_void_reason(row.void_reason),
        void_note=row.void_note or "",
    )


def csv_cells(row: ListedCode, *, with_members: bool) -> Sequence[object]:
    """Returns a code as a line of CSV, in the order of CSV_COLUMNS."""
    moments = (timestamp(one) for one in (row.expires_at, row.assigned_at, row.voided_at))
    return (
        row.id,
        code_text(row.code, row.pattern, row.written),
        display_code(row.code, row.pattern, row.written),
        row.state,
        row.owner_member_id if with_members else None,
        row.order_id,
        row.uses,
        row.uses_allowed,
        *(one.ToJsonString() if one else None for one in moments),
    )


def encode_event(row: CodeEvent, *, by: ImportRow | None, with_members: bool) -> code_file_pb2.CodeEvent:
    """Returns what happened to a code as messages have it; `by` is the import that made it."""
    actor_id, actor_role = row.actor_id, row.actor_role
    if by is not None:
        actor_id, actor_role = by.created_by, by.created_role
    return code_file_pb2.CodeEvent(
        kind=code_file_pb2.CodeEventKind.Value(f"CODE_EVENT_KIND_{row.kind}"),
        occurred_at=timestamp(row.occurred_at),
        actor_id=str(actor_id or ""),
        actor_role=actor_role or "",
        code_import_id=str(row.import_id or ""),
        member_id=str(row.member_id or "") if with_members else "",
        order_id=str(row.order_id or ""),
        redemption_id=str(row.redemption_id or ""),
        till_number=row.till_number or "",
        sale_reference=row.sale_reference or "",
        void_reason=_void_reason(row.void_reason),
        void_note=row.void_note or "",
    )


def encode_import(row: ImportRow) -> code_file_pb2.CodeImport:
    """Returns an import as messages have it."""
    return code_file_pb2.CodeImport(
        id=str(row.id),
        code_set_id=str(row.code_set_id),
        lines=row.lines,
        imported=row.imported,
        refused=row.lines - row.imported,
        created_by=str(row.created_by),
        created_at=timestamp(row.created_at),
    )


def _void_reason(reason: str | None) -> code_file_pb2.VoidReason.ValueType:
    return code_file_pb2.VoidReason.Value(f"VOID_REASON_{reason or 'UNSPECIFIED'}")
