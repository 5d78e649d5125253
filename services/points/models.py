"""Tables of points.

Keys begin with the member, so that tables can be spread by member; the two that can not are said
to be so. The hot tables have no foreign keys: one statement writes a purchase with all that belongs
to it, and checking each row again would cost as much as writing it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Identity,
    Index,
    SmallInteger,
    false,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.tables import TYPES, idempotency_table, members_table, new_metadata, outbox_table


class Base(DeclarativeBase):
    """All tables of points."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Account(Base):
    """A member's balance: the sum of the ledger. Whoever moves points locks this row first.

    Points that a refund takes back and the balance can not give go, by the programme's policy, below
    zero or into `debt`; whatever is credited pays that first. A debit never takes the balance below zero.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("balance >= -2147483647", name="balance_floor"),
        CheckConstraint("debt >= 0", name="debt_floor"),
        CheckConstraint("debt <= 2147483647", name="debt_limit"),
        CheckConstraint("debt = 0 OR balance <= 0", name="debt_paid_first"),
        CheckConstraint("balance <= 2147483647", name="balance_limit"),
        CheckConstraint("balance = 0 OR NOT closed", name="closed_empty"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)  # wider than its limit, so that the limit has a name
    version: Mapped[int] = mapped_column(BigInteger)  # number of ledger entries
    purchases: Mapped[int] = mapped_column(BigInteger)  # number of purchases
    closed: Mapped[bool] = mapped_column(server_default=false())  # its member is gone: it stays empty
    debt: Mapped[int] = mapped_column(BigInteger, server_default="0")
    first_bonus: Mapped[int | None]  # what the first purchase that earned got on top; none before it


class MemberCode(Base):
    """A member code that identity resolved. Keyed by the code, for that is what a till sends.

    Members who are suspended or gone have none here.
    """

    __tablename__ = "member_codes"

    member_code: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(index=True)


class Receipt(Base):
    """The key of a purchase, kept for ever. Keyed by the client, whose numbers these are."""

    __tablename__ = "receipts"

    client_id: Mapped[UUID] = mapped_column(primary_key=True)
    till_number: Mapped[str] = mapped_column(primary_key=True)
    receipt_number: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    member_id: Mapped[UUID]
    purchase_id: Mapped[UUID]


class UsedCode(Base):
    """A signed member code, bound for ever to the receipt that it came with. Keyed by the code's id.

    Not by member: whoever comes second is told so by this key alone.
    """

    __tablename__ = "used_codes"

    code_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    till_number: Mapped[str]
    receipt_number: Mapped[str]
    purchase_id: Mapped[UUID]


class UnclaimedPurchase(Base):
    """A purchase without a member. Until it is claimed its rows stand under its own id as member.

    Its row in `purchases` tells what it will earn, which is less after a refund.
    """

    __tablename__ = "unclaimed_purchases"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    claim_code: Mapped[str] = mapped_column(unique=True)
    claim_until: Mapped[datetime]
    points: Mapped[int]  # what the receipt was answered at first
    claimed_by: Mapped[UUID | None]
    claimed_with: Mapped[bytes | None]  # fingerprint of the member code that the till sent


class EarnRule(Base):
    """What purchases earn, as staff manage it."""

    __tablename__ = "earn_rules"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="window"),
        CheckConstraint(
            "kind IN ('BASE_RATE', 'EXCLUSION', 'MULTIPLIER', 'FIRST_PURCHASE_BONUS')", name="kind_known"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    effect: Mapped[dict[str, Any]] = mapped_column(JSONB)
    priority: Mapped[int]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    enabled: Mapped[bool]
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    deleted: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EarnRuleSet(Base):
    """All rules that were enabled at one time, the programme's settings among them; never changed.

    The newest holds. Purchases keep the number of the one that judged them.
    """

    __tablename__ = "earn_rule_sets"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Purchase(Base):
    """A recorded receipt and what it earned."""

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint("total_minor >= eligible_minor AND eligible_minor >= 0", name="amounts"),
        CheckConstraint("points >= bonus AND bonus >= 0", name="points_floor"),
        Index("ix_purchases_id", "id"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # Counts the member's purchases from 1, without gaps. The locked account gives it and check-books proves
    # it: nothing reads by it, and a unique index would cost each purchase an insert.
    number: Mapped[int] = mapped_column(BigInteger)
    receipt_number: Mapped[str]
    till_number: Mapped[str]
    sold_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    currency_code: Mapped[str]
    total_minor: Mapped[int] = mapped_column(BigInteger)
    eligible_minor: Mapped[int] = mapped_column(BigInteger)
    points: Mapped[int]
    earn_rule: Mapped[str]
    balance_after: Mapped[int]
    client_id: Mapped[UUID]
    rule_set_id: Mapped[int] = mapped_column(BigInteger)
    bonus: Mapped[int] = mapped_column(server_default="0")  # among the points
    lot_id: Mapped[int | None] = mapped_column(BigInteger)  # the entry that earned them


class PurchaseItem(Base):
    """A line of a receipt."""

    __tablename__ = "purchase_items"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    category: Mapped[str]
    unit_price_minor: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[int]
    alcohol: Mapped[bool] = mapped_column(Boolean)
    refunded: Mapped[int] = mapped_column(server_default="0")


class Refund(Base):
    """What came back of a purchase, and which points went with it."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("points = taken + owed + expired + waived", name="points_sum"),
        CheckConstraint("least(taken, owed, expired, waived) >= 0", name="points_floor"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    refund_number: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    lines: Mapped[list[Any]] = mapped_column(JSONB)  # [[line, quantity], …]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    points: Mapped[int]
    taken: Mapped[int]
    owed: Mapped[int]
    expired: Mapped[int]
    waived: Mapped[int]
    reason: Mapped[str]
    actor_id: Mapped[str]
    actor_role: Mapped[str]
    balance_after: Mapped[int]
    refunded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LedgerEntry(Base):
    """A movement of points. Entries are never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('EARN', 'SPEND', 'SPEND_UNDONE', 'FORFEIT', 'REFUND', 'ADJUST', 'EXPIRE')",
            name="kind_known",
        ),
        CheckConstraint("delta <> 0 OR debt_delta <> 0", name="delta_moves"),
        # Most entries are earned; those of other kinds can be listed without reading past them.
        Index("ix_ledger_entries_kind", "member_id", "kind", "sequence", postgresql_where="kind <> 'EARN'"),
        # Finds about where in a member's entries a time is; with every entry it would slow each purchase.
        Index(
            "ix_ledger_entries_time",
            "member_id",
            "occurred_at",
            "sequence",
            postgresql_where="sequence % 64 = 0",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    delta: Mapped[int]
    balance_after: Mapped[int]
    reference: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    debt_delta: Mapped[int] = mapped_column(server_default="0")  # its sum is the account's debt
    reason: Mapped[str | None]


class Lot(Base):
    """Points that were credited together. Its id is the sequence of the entry that credited them.

    What a credit paid of a debt or of a negative balance is in no lot.
    """

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining >= 0 AND expired >= 0", name="remaining_floor"),
        CheckConstraint("remaining + expired <= earned", name="remaining_range"),
        Index("ix_lots_open", "member_id", "id", postgresql_where="remaining > 0"),
        Index(
            "ix_lots_due",
            "expires_at",
            "member_id",
            postgresql_where="remaining > 0 AND expires_at IS NOT NULL",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    earned: Mapped[int]
    remaining: Mapped[int]
    earned_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    expired: Mapped[int] = mapped_column(server_default="0")


class Debit(Base):
    """What became of an order's points.

    Keyed by the order alone: one order must not be debited to two members, and only a key can say so.
    """

    __tablename__ = "debits"
    __table_args__ = (
        CheckConstraint("state IN ('DEBITED', 'UNDONE')", name="state_known"),
        CheckConstraint("points > 0 OR state = 'UNDONE'", name="points_taken"),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    points: Mapped[int]  # 0 when the order was undone before it was debited
    state: Mapped[str]
    balance_after: Mapped[int | None]


class DebitLot(Base):
    """How many points a debit took from which lot."""

    __tablename__ = "debit_lots"
    __table_args__ = (CheckConstraint("points > 0", name="points_taken"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    points: Mapped[int]


class AdjustmentImport(Base):
    """A file of adjustments."""

    __tablename__ = "adjustment_imports"
    __table_args__ = (
        CheckConstraint("done >= 0 AND refused >= 0 AND done + refused <= lines", name="counts"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    lines: Mapped[int]
    done: Mapped[int] = mapped_column(server_default="0")
    refused: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[str]
    created_role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class AdjustmentImportLine(Base):
    """A line of such a file; `outcome` is none until it is done or refused."""

    __tablename__ = "adjustment_import_lines"
    __table_args__ = (
        Index("ix_adjustment_import_lines_waiting", "import_id", "line", postgresql_where="outcome IS NULL"),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[str]  # as it stood in the file
    delta: Mapped[str]
    reason: Mapped[str]
    outcome: Mapped[str | None]
    balance_after: Mapped[int | None]


idempotency_table(Base.metadata)
outbox_table(Base.metadata)
members_table(Base.metadata)
