"""What a purchase is. Knows neither gRPC nor SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.common.codes import random_code
from services.common.errors import DomainError
from services.points.earning import Item
from services.points.ledger import Balance
from services.points.purchases.member_codes import SignedCode

CLAIM_CODE_LENGTH = 12
"""Characters of a claim code: 60 random bits."""


class ReceiptKey(NamedTuple):
    """What makes a receipt the same one: the client, the till it spoke for, and the receipt's number."""

    client_id: UUID
    till_number: str
    receipt_number: str


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
    then gets that answer. `signed_code` is identity's reading of a signed member code.
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
class Recorded:
    """The answer to a receipt, and the balance now of the member, if it has one."""

    purchase: Purchase
    now: Balance | None


class SoldLine(NamedTuple):
    """A line of a recorded purchase; `left` of its quantity were not returned."""

    number: int
    item: Item
    left: int


def new_claim_code() -> str:
    """Returns a code for the receipt of somebody who showed none, which nobody mistakes."""
    return random_code(CLAIM_CODE_LENGTH)
