"""What claims and refunds do to a recorded purchase. Each runs in its caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_one, fetch_value
from services.points.purchases.purchase import Purchase, ReceiptKey, SoldLine


@dataclass(frozen=True, slots=True)
class Claimable:
    """Until when a purchase that was recorded without a member can be claimed."""

    claim_until: datetime
    expired: bool


@dataclass(frozen=True, slots=True)
class KeptPurchase:
    """A purchase as it is kept. Its `owner` is its member, or its own id until it is claimed.

    `lot_id` is the ledger's entry that credited it, if that left points to be spent.
    """

    owner: UUID
    key: ReceiptKey
    lot_id: int | None
    purchase: Purchase

    @property
    def has_member(self) -> bool:
        """Whether it was recorded for a member, or claimed."""
        return self.owner != self.purchase.id


@dataclass(frozen=True, slots=True)
class NewOwner:
    """Whose a purchase becomes, as the `number`-th of the member, and what it earns."""

    member_id: UUID
    number: int
    lot_id: int | None
    purchase: Purchase
    claimed_with: bytes | None


@dataclass(frozen=True, slots=True)
class _KeptRow:
    member_id: UUID
    client_id: UUID
    lot_id: int | None
    id: UUID
    receipt_number: str
    till_number: str
    sold_at: datetime
    recorded_at: datetime
    currency_code: str
    total_minor: int
    eligible_minor: int
    points: int
    balance_after: int
    rule_set_id: int
    line_rules: Sequence[int] | None
    earn_rule: str | None
    redemption_ids: Sequence[UUID]
    bonus: int


@dataclass(frozen=True, slots=True)
class _LineRow:
    line: int
    sku: str
    name: str
    category: str
    unit_price_minor: int
    quantity: int
    alcohol: bool
    refunded: int
    quantity_milli: int | None
    total_minor: int | None


async def lock_unclaimed(connection: Connection, purchase_id: UUID) -> Claimable | None:
    """Locks a purchase that was recorded without a member, so that nobody else claims or refunds it.

    Returns None for one that was recorded for a member.
    """
    return await fetch_first(
        connection,
        Claimable,
        """
        SELECT claim_until, claim_until < now() AS expired
        FROM unclaimed_purchases
        WHERE purchase_id = %(purchase_id)s
        FOR UPDATE
        """,
        purchase_id=purchase_id,
    )


async def get_kept_purchase(connection: Connection, purchase_id: UUID) -> KeptPurchase:
    """Returns a purchase, which exists. Whose it is may change until it is locked, and once only."""
    row = await fetch_one(
        connection,
        _KeptRow,
        """
        SELECT member_id, client_id, lot_id, id, receipt_number, till_number, sold_at, recorded_at,
          currency_code, total_minor, eligible_minor, points, balance_after, rule_set_id, line_rules,
          earn_rule, coalesce(redemption_ids, '{}') AS redemption_ids, bonus
        FROM purchases
        WHERE id = %(purchase_id)s
        """,
        purchase_id=purchase_id,
    )
    purchase = Purchase(
        id=row.id,
        receipt_number=row.receipt_number,
        till_number=row.till_number,
        sold_at=row.sold_at,
        recorded_at=row.recorded_at,
        currency_code=row.currency_code,
        total_minor=row.total_minor,
        eligible_minor=row.eligible_minor,
        points=row.points,
        balance_after=row.balance_after,
        rule_set_id=row.rule_set_id,
        line_rules=row.line_rules,
        earn_rule=row.earn_rule,
        redemption_ids=row.redemption_ids,
        bonus=row.bonus,
    )
    key = ReceiptKey(row.client_id, row.till_number, row.receipt_number)
    return KeptPurchase(row.member_id, key, row.lot_id, purchase)


async def get_sold_lines(connection: Connection, owner: UUID, purchase_id: UUID) -> Sequence[SoldLine]:
    """Returns the lines of a purchase."""
    rows = await fetch_all(
        connection,
        _LineRow,
        """
        SELECT line, sku, name, category, unit_price_minor, quantity, alcohol, refunded, quantity_milli,
          total_minor
        FROM purchase_items
        WHERE member_id = %(owner)s AND purchase_id = %(purchase_id)s
        ORDER BY line
        """,
        owner=owner,
        purchase_id=purchase_id,
    )
    return [SoldLine.of(asdict(row)) for row in rows]


async def note_returned(
    connection: Connection, owner: UUID, purchase_id: UUID, quantities: Mapping[int, int]
) -> None:
    """Notes how much of which line came back, in the unit in which it was sold: pieces, or thousandths.

    The purchase, or its member's account, must be locked.
    """
    changed = await execute(
        connection,
        """
        UPDATE purchase_items i SET refunded = i.refunded + g.quantity
        FROM unnest(%(lines)s::smallint[], %(quantities)s::int[]) AS g (line, quantity)
        WHERE i.member_id = %(owner)s AND i.purchase_id = %(purchase_id)s AND i.line = g.line
          AND i.refunded + g.quantity <= coalesce(i.quantity_milli, i.quantity)
        """,
        owner=owner,
        purchase_id=purchase_id,
        lines=list(quantities),
        quantities=list(quantities.values()),
    )
    if changed != len(quantities):
        raise AssertionError(f"purchase {purchase_id} was refunded by somebody else, in spite of the lock")


async def lower_expected_points(connection: Connection, purchase_id: UUID, points: int) -> None:
    """Lowers what a purchase without a member will earn."""
    await execute(
        connection,
        """
        UPDATE purchases SET points = points - %(points)s
        WHERE member_id = %(purchase_id)s AND id = %(purchase_id)s
        """,
        purchase_id=purchase_id,
        points=points,
    )


async def bind_code(connection: Connection, code_id: str, kept: KeptPurchase) -> bool:
    """Binds a signed member code to a purchase's receipt; returns False when it is bound already."""
    bound = await fetch_value(
        connection,
        """
        INSERT INTO used_codes (code_id, client_id, till_number, receipt_number, purchase_id)
        VALUES (%(code_id)s, %(client_id)s, %(till_number)s, %(receipt_number)s, %(purchase_id)s)
        ON CONFLICT DO NOTHING
        RETURNING true
        """,
        code_id=code_id,
        purchase_id=kept.purchase.id,
        **kept.key._asdict(),
    )
    return bound is not None


async def give_to_member(connection: Connection, key: ReceiptKey, new: NewOwner) -> None:
    """Moves the rows of a purchase without a member to its member.

    The receipt comes last: a recording that repeats it waits for that row, and may itself lock the account.
    """
    owner = {"purchase_id": new.purchase.id, "member_id": new.member_id}
    await execute(
        connection,
        """
        UPDATE purchases SET
          member_id = %(member_id)s,
          number = %(number)s,
          points = %(points)s,
          bonus = %(bonus)s,
          lot_id = %(lot_id)s,
          balance_after = %(balance_after)s
        WHERE member_id = %(purchase_id)s AND id = %(purchase_id)s
        """,
        **owner,
        number=new.number,
        points=new.purchase.points,
        bonus=new.purchase.bonus,
        lot_id=new.lot_id,
        balance_after=new.purchase.balance_after,
    )
    await execute(
        connection,
        """
        UPDATE purchase_items SET member_id = %(member_id)s
        WHERE member_id = %(purchase_id)s AND purchase_id = %(purchase_id)s
        """,
        **owner,
    )
    await execute(
        connection,
        """
        UPDATE unclaimed_purchases SET claimed_by = %(member_id)s, claimed_with = %(claimed_with)s
        WHERE purchase_id = %(purchase_id)s
        """,
        **owner,
        claimed_with=new.claimed_with,
    )
    await execute(
        connection,
        """
        UPDATE receipts SET member_id = %(member_id)s
        WHERE client_id = %(client_id)s AND till_number = %(till_number)s
          AND receipt_number = %(receipt_number)s
        """,
        member_id=new.member_id,
        **key._asdict(),
    )
