"""What a purchase is, what it earns, and which ones are refused. Knows neither gRPC nor SQL."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from stdnum.iso7064 import mod_37_36

from services.common.errors import DomainError

CLOCK_LEEWAY = timedelta(minutes=2)
"""How far ahead a till's clock may be, and how far behind when it scans a code made a moment ago."""


_CODE = re.compile(r"[0-9A-Z]{1,64}")
_UNAMBIGUOUS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LASTING_LENGTH = 12
_CLAIM_CODE = re.compile(f"[{_UNAMBIGUOUS}]{{12}}")
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
class Claim:
    """How a purchase without a member can become somebody's, and until when."""

    code: str
    until: datetime


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """A receipt as it came in, with what it would earn by the rules of `rule_set_id`.

    `bonus` comes on top of `points` when it is the member's first that earns. One with a `claim` has no
    member. One with a `refusal` is never recorded; it may still be the repetition of one that was, and
    then gets that answer. `signed_code` is what identity said of a signed member code.
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
    rule_set_id: int
    bonus: int = 0
    claim: Claim | None = None
    refusal: DomainError | None = None
    signed_code: SignedCode | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """A recorded purchase. Amounts are in minor units; `points` is what it earned, `bonus` among it.

    One with a `claim` was recorded without a member, and earns when it is claimed.
    """

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
    bonus: int = 0
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's balance, and the points that it owes, when the ledger had `version` entries."""

    member_id: UUID
    version: int
    balance: int
    debt: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a receipt, and the balance now of the member, if it has one."""

    purchase: Purchase
    now: Balance | None


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


def new_claim_code() -> str:
    """A code for the receipt of somebody who showed none: 12 characters that nobody mistakes, 60 bits."""
    return "".join(secrets.choice(_UNAMBIGUOUS) for _ in range(12))


def normal_claim_code(given: str) -> str:
    """A claim code as it was made: in capitals, without separators. Raises CLAIM_CODE_NOT_VALID."""
    code = given.translate(_SEPARATORS).upper()
    if not _CLAIM_CODE.fullmatch(code):
        raise claim_code_not_valid()
    return code


def member_code_unknown() -> DomainError:
    """No member has the code."""
    return DomainError("MEMBER_CODE_UNKNOWN", "no member has this code")


def member_code_replayed() -> DomainError:
    """The signed code came with another receipt before."""
    return DomainError("MEMBER_CODE_REPLAYED", "the code was used on another receipt; scan a new one")


def balance_limit_reached() -> DomainError:
    """The member's balance would leave the range of 32 bits."""
    return DomainError("BALANCE_LIMIT_REACHED", "the balance would become larger than Scrip can keep")


def total_mismatch(total_minor: int, sum_minor: int) -> DomainError:
    """The receipt's lines do not add up to its total."""
    message = f"the items add up to {sum_minor}, not to {total_minor}"
    return DomainError("TOTAL_MISMATCH", message, total_minor=total_minor, sum_minor=sum_minor)


def receipt_conflict(first: Purchase) -> DomainError:
    """The receipt was recorded before with other content."""
    return DomainError(
        "RECEIPT_CONFLICT",
        f"receipt {first.receipt_number} was recorded before with other content",
        receipt_number=first.receipt_number,
        purchase_id=first.id,
    )


def purchase_not_found() -> DomainError:
    """There is no such purchase, or it is not the caller's to see."""
    return DomainError("PURCHASE_NOT_FOUND", "there is no such purchase")


def purchase_claimed() -> DomainError:
    """The purchase is another member's."""
    return DomainError("PURCHASE_CLAIMED", "the purchase is another member's already")


def claim_expired(claim_until: datetime) -> DomainError:
    """The purchase can not be claimed any more."""
    until = claim_until.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return DomainError("CLAIM_EXPIRED", f"it could be claimed until {until}", claim_until=until)


def claim_code_not_valid() -> DomainError:
    """There is no such claim code, or somebody else used it."""
    return DomainError("CLAIM_CODE_NOT_VALID", "there is no receipt for you with this code")
