"""What a purchase is, what it earns, and which ones are refused. Knows neither gRPC nor SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from stdnum.iso7064 import mod_37_36

from services.common.errors import DomainError

MAX_TOTAL_MINOR = 10**11
MAX_POINTS = 2**31 - 1
MAX_AGE = timedelta(days=30)
CLOCK_LEEWAY = timedelta(minutes=2)
"""How far ahead a till's clock may be, and how far behind when it scans a code made a moment ago."""


_CODE = re.compile(r"[0-9A-Z]{1,64}")
_LASTING_LENGTH = 12
_SIGNED = re.compile(r"S1[0-9A-HJKMNP-TV-Z]{59}")
_SEPARATORS = str.maketrans("", "", " -")


class Item(NamedTuple):
    """A line of a receipt. Prices are in minor units of the receipt's currency."""

    sku: str
    name: str
    category: str
    unit_price_minor: int
    quantity: int
    alcohol: bool


class ReceiptKey(NamedTuple):
    """What makes a receipt the same one: the client, the till it spoke for, and the receipt's number."""

    client_id: UUID
    till_number: str
    receipt_number: str


@dataclass(frozen=True, slots=True)
class SignedCode:
    """A signed member code as identity knows it again: good for one receipt, sold while it was."""

    id: str
    member_id: UUID
    issued_at: datetime
    expires_at: datetime

    def refusal(self, *, sold_at: datetime, now: datetime, offline: timedelta) -> DomainError | None:
        """MEMBER_CODE_EXPIRED for a sale of another time, or one that is reported too late; or None.

        `offline` is how long after the code's end a till may report.
        """
        shown = self.issued_at - CLOCK_LEEWAY <= sold_at <= self.expires_at
        if shown and now <= self.expires_at + offline:
            return None
        message = "the code was not good at the time of the sale, or is reported too late; scan a new one"
        return DomainError("MEMBER_CODE_EXPIRED", message)


@dataclass(frozen=True, slots=True)
class ResolvedCode:
    """Whose a member code is; `signed` says more of a signed one."""

    member_id: UUID
    signed: SignedCode | None


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """A receipt as it came in, with what it would earn.

    One with a `refusal` is never recorded; it may still be the repetition of one that was, and then
    gets that answer. `signed_code` is what identity said of a signed member code.
    """

    key: ReceiptKey
    fingerprint: bytes
    id: UUID
    member_code: str
    sold_at: datetime
    currency_code: str
    total_minor: int
    eligible_minor: int
    points: int
    earn_rule: str
    items: Sequence[Item]
    refusal: DomainError | None = None
    signed_code: SignedCode | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """A recorded purchase. Amounts are in minor units; `points` is what it earned."""

    id: UUID
    receipt_number: str
    till_number: str
    sold_at: datetime
    recorded_at: datetime
    currency_code: str
    total_minor: int
    eligible_minor: int
    points: int
    earn_rule: str
    balance_after: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's balance when the ledger had `version` entries."""

    member_id: UUID
    version: int
    balance: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a receipt, and the member's balance now."""

    purchase: Purchase
    now: Balance


@dataclass(frozen=True)
class EarnRule:
    """`points` for each full `per_minor` of a receipt's eligible total."""

    points: int
    per_minor: int

    def earned(self, eligible_minor: int) -> int:
        """Points for this eligible total, in minor units."""
        return eligible_minor // self.per_minor * self.points

    def __str__(self) -> str:
        return f"{self.points} per {self.per_minor} minor units"


@dataclass(frozen=True)
class Programme:
    """What the retailer decided: one currency, and what spend earns."""

    currency_code: str
    rule: EarnRule

    def refusal(
        self, *, currency_code: str, sold_at: datetime, total_minor: int, points: int, now: datetime
    ) -> DomainError | None:
        """Why a receipt can not be recorded, or None.

        CURRENCY_NOT_SUPPORTED, SALE_TIME_OUT_OF_RANGE, RECEIPT_TOO_LARGE or BALANCE_LIMIT_REACHED.
        """
        if currency_code != self.currency_code:
            return DomainError(
                "CURRENCY_NOT_SUPPORTED",
                f"receipts must be in {self.currency_code}",
                currency_code=currency_code,
                expected=self.currency_code,
            )
        earliest, latest = now - MAX_AGE, now + CLOCK_LEEWAY
        if not earliest <= sold_at <= latest:
            return DomainError(
                "SALE_TIME_OUT_OF_RANGE",
                f"sold_at must lie between {_rfc3339(earliest)} and {_rfc3339(latest)}",
                earliest=_rfc3339(earliest),
                latest=_rfc3339(latest),
            )
        if total_minor > MAX_TOTAL_MINOR:
            return DomainError(
                "RECEIPT_TOO_LARGE",
                f"a receipt's total may be {MAX_TOTAL_MINOR} minor units at most",
                limit_minor=MAX_TOTAL_MINOR,
            )
        return balance_limit_reached() if points > MAX_POINTS else None


def normal_code(given: str) -> str:
    """A member code as identity knows it: in capitals, without separators. Raises MEMBER_CODE_UNKNOWN."""
    code = given.translate(_SEPARATORS).upper()
    if not _CODE.fullmatch(code):
        raise member_code_unknown()
    return code


def may_be_a_code(code: str) -> bool:
    """Whether identity could know this code: signed, or lasting and with the right check character."""
    if len(code) == _LASTING_LENGTH:
        return mod_37_36.is_valid(code)
    return _SIGNED.fullmatch(code) is not None


def member_code_unknown() -> DomainError:
    """No member has the code."""
    return DomainError("MEMBER_CODE_UNKNOWN", "no member has this code")


def member_code_replayed() -> DomainError:
    """The signed code came with another receipt before."""
    return DomainError("MEMBER_CODE_REPLAYED", "the code was used on another receipt; scan a new one")


def balance_limit_reached() -> DomainError:
    """The member's balance would leave the range of 32 bits."""
    return DomainError("BALANCE_LIMIT_REACHED", "the balance would become larger than Scrip can keep")


def receipt_conflict(first: Purchase) -> DomainError:
    """The receipt was recorded before with other content."""
    return DomainError(
        "RECEIPT_CONFLICT",
        f"receipt {first.receipt_number} was recorded before with other content",
        receipt_number=first.receipt_number,
        purchase_id=first.id,
    )


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
