"""Points' rows as protobuf has them."""

from __future__ import annotations

from google.protobuf.message import Message
from scrip.common.v1 import money_pb2
from scrip.points.v1 import admin_pb2, points_pb2, purchase_pb2

from services.common.encoding import moment, set_timestamp, timestamp
from services.common.errors import invalid_field
from services.points.adjustments.queries import ImportRow
from services.points.earning.earning import Terms
from services.points.ledger.entry_queries import EntryRow
from services.points.ledger.lot_queries import ExpiryRow
from services.points.periods import Period
from services.points.purchases.purchase import Purchase
from services.points.purchases.queries import PurchaseDetails
from services.points.refunds.refund import Line, Refund

_KIND = "ENTRY_KIND_"


def purchase(row: Purchase) -> purchase_pb2.Purchase:
    """A purchase."""
    encoded = purchase_pb2.Purchase()
    _set_purchase(encoded, row)
    return encoded


def recorded(row: Purchase) -> purchase_pb2.RecordPurchaseResponse:
    """The answer to a receipt."""
    reply = purchase_pb2.RecordPurchaseResponse()
    set_recorded(reply, row)
    return reply


def set_recorded(reply: purchase_pb2.RecordPurchaseResponse, row: Purchase) -> None:
    """The answer to a receipt, in its place: a message that is put into another one is copied."""
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


def purchase_details(row: PurchaseDetails, terms: Terms) -> purchase_pb2.PurchaseDetails:
    """A purchase with its lines and refunds; `terms` are the rules that judged it."""
    return purchase_pb2.PurchaseDetails(
        purchase=purchase(row.purchase),
        member_id=str(row.member_id or ""),
        client_id=str(row.client_id),
        lines=[_line(line, terms) for line in row.lines],
        refunds=[refund(one, row.purchase.currency_code) for one in row.refunds],
        claim_until=timestamp(row.claim_until),
    )


def _line(row: Line, terms: Terms) -> purchase_pb2.PurchaseLine:
    return purchase_pb2.PurchaseLine(
        line=row.number,
        item=purchase_pb2.PurchaseItem(**row.item._asdict()),
        quantity_left=row.left,
        earn_percent=terms.counted(row.item).percent,
    )


def refund(row: Refund, currency_code: str) -> purchase_pb2.Refund:
    """A refund of a purchase in this currency."""
    return purchase_pb2.Refund(
        refund_number=row.number,
        refunded_at=timestamp(row.refunded_at),
        lines=[purchase_pb2.RefundLine(line=one.line, quantity=one.quantity) for one in row.lines],
        amount=money_pb2.Money(currency_code=currency_code, amount_minor=row.amount_minor),
        points=row.points,
        points_taken=row.taken,
        points_owed=row.owed,
        points_expired=row.expired,
        points_waived=row.waived,
        reason=row.reason,
    )


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
