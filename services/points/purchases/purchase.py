"""What a purchase is. Knows neither gRPC nor SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
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
    """How a purchase without a member can become somebody's, and until when.

    `member_suspended` is whether it came with the code of a member who was suspended then.
    """

    code: str
    until: datetime
    member_suspended: bool = False


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """A receipt as it came in, with what it would earn by the rules of `rule_set_id`.

    `bonus` comes on top of `points` when it is the member's first that earns. `line_rules` are the places in
    the set of the rules that held for lines. One with a `claim` has no member. One with a `refusal` is never
    recorded; it may still be the repetition of one that was, and then gets that answer. `signed_code` is
    identity's reading of a signed member code.
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
    items: Sequence[Item]
    rule_set_id: int
    line_rules: Sequence[int] = ()
    redemption_ids: Sequence[UUID] = ()
    bonus: int = 0
    claim: Claim | None = None
    refusal: DomainError | None = None
    signed_code: SignedCode | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """A recorded purchase. Amounts are in minor units; `points` is what it earned, `bonus` among it.

    One with a `claim` was recorded without a member, whose balance is None, and earns when it is claimed. By
    which rules it earns say `rule_set_id`, `line_rules` and `earn_rule`; see `JudgedPurchase`.
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
    balance_after: int | None
    rule_set_id: int
    line_rules: Sequence[int] | None = None
    earn_rule: str | None = None
    redemption_ids: Sequence[UUID] = ()
    bonus: int = 0
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a receipt, and the balance now of the member, if it has one."""

    purchase: Purchase
    now: Balance | None


class SoldLine(NamedTuple):
    """A line of a recorded purchase, of which `left` thousandths were not returned."""

    number: int
    item: Item
    left: int

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Returns a line as its row in `purchase_items` has it."""
        price, quantity = kept["unit_price_minor"], kept["quantity"]
        milli, total = kept["quantity_milli"] or 0, kept["total_minor"]
        item = Item(
            sku=kept["sku"],
            name=kept["name"],
            category=kept["category"],
            unit_price_minor=price,
            quantity=quantity,
            alcohol=kept["alcohol"],
            quantity_milli=milli,
            total_minor=price * quantity if total is None else total,
        )
        back = kept["refunded"] if milli else kept["refunded"] * 1_000
        return cls(kept["line"], item, item.milli - back)

    @property
    def in_pieces(self) -> bool:
        """Whether it was sold in whole pieces."""
        return not self.item.quantity_milli

    @property
    def left_minor(self) -> int:
        """What of its total is left, in minor units.

        What came back has cost its share of the total, rounded down: so parts add up to the whole, and what
        is left never grows.
        """
        total, sold = self.item.total_minor, self.item.milli
        return total - total * (sold - self.left) // sold


def new_claim_code() -> str:
    """Returns a code for the receipt of somebody who showed none, which nobody mistakes."""
    return random_code(CLAIM_CODE_LENGTH)
