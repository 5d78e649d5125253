"""The ledger's entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import assert_never

from services.points.ledger.account import Balance


class EntryKind(Enum):
    """Why points move, by the name that the ledger keeps."""

    EARN = "EARN"
    SPEND = "SPEND"
    SPEND_UNDONE = "SPEND_UNDONE"
    REFUND = "REFUND"
    ADJUST = "ADJUST"
    EXPIRE = "EXPIRE"
    FORFEIT = "FORFEIT"


@dataclass(frozen=True, slots=True)
class OfPurchase:
    """Caused by a purchase, or by goods of it that came back."""

    purchase_id: str


@dataclass(frozen=True, slots=True)
class OfOrder:
    """Caused by an order, or by its undoing."""

    order_id: str


@dataclass(frozen=True, slots=True)
class OfAdjustment:
    """Caused by staff."""

    adjustment_id: str


@dataclass(frozen=True, slots=True)
class OfImportLine:
    """Caused by a line of staff's file."""

    import_id: str
    line: int


@dataclass(frozen=True, slots=True)
class OfExpiry:
    """Caused by time: the latest moment at which some of the points expired."""

    expired_at: datetime


@dataclass(frozen=True, slots=True)
class OfClosing:
    """Caused by the event that closed the account."""

    event_id: str


Cause = OfPurchase | OfOrder | OfAdjustment | OfImportLine | OfExpiry | OfClosing


def cause_of(kind: EntryKind, reference: str, *, of_order: bool) -> Cause:
    """Returns what a reference names: it depends on the kind, and of FORFEIT on whether it is `of_order`."""
    match kind:
        case EntryKind.EARN | EntryKind.REFUND:
            return OfPurchase(reference)
        case EntryKind.SPEND | EntryKind.SPEND_UNDONE:
            return OfOrder(reference)
        case EntryKind.ADJUST:
            import_id, _, line = reference.partition(":")
            return OfImportLine(import_id, int(line)) if line else OfAdjustment(reference)
        case EntryKind.EXPIRE:
            return OfExpiry(datetime.fromisoformat(reference))
        case EntryKind.FORFEIT:
            return OfOrder(reference) if of_order else OfClosing(reference)
        case _:
            assert_never(kind)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to be written: its kind, the id of what caused it, and the reason that was given."""

    kind: EntryKind
    reference: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry that was written: what it changed, and the account right after it.

    `lot_points` of a credit were neither owed nor missing: they can be spent.
    """

    now: Balance
    delta: int
    debt_delta: int
    occurred_at: datetime
    lot_points: int = 0

    @property
    def sequence(self) -> int:
        """The entry's number in the member's ledger."""
        return self.now.version


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry as lists show it."""

    sequence: int
    kind: EntryKind
    delta: int
    balance_after: int
    cause: Cause
    occurred_at: datetime
    debt_delta: int
    reason: str | None
