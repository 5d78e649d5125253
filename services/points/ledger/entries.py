"""The ledger's entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

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
    reference: str
    occurred_at: datetime
    debt_delta: int
    reason: str | None
