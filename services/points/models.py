"""Tables of points.

Keys begin with the member, so that tables can be spread by member; the two that can not are said
to be so. The hot tables have no foreign keys: one statement writes a purchase with all that belongs
to it, and checking each row again would cost as much as writing it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    false,
    func,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.tables import TYPES, new_metadata


class Base(DeclarativeBase):
    """All tables of points."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Account(Base):
    """A member's balance: the sum of the ledger. Whoever moves points locks this row first."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_floor"),
        CheckConstraint("balance <= 2147483647", name="balance_limit"),
        CheckConstraint("balance = 0 OR NOT closed", name="closed_empty"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)  # wider than its limit, so that the limit has a name
    version: Mapped[int] = mapped_column(BigInteger)  # number of ledger entries
    purchases: Mapped[int] = mapped_column(BigInteger)  # number of purchases
    closed: Mapped[bool] = mapped_column(server_default=false())  # its member is gone: it stays empty


class Member(Base):
    """What identity told of a member. Version 0 is that of one of whom only a code is known yet."""

    __tablename__ = "members"
    __table_args__ = (CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    registered_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")


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


class Purchase(Base):
    """A recorded receipt and what it earned."""

    __tablename__ = "purchases"
    __table_args__ = (
        UniqueConstraint("member_id", "number"),
        CheckConstraint("total_minor >= eligible_minor AND eligible_minor >= 0", name="amounts"),
        CheckConstraint("points >= 0", name="points_floor"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)  # counts the member's purchases from 1, without gaps
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


class LedgerEntry(Base):
    """A movement of points. Entries are never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("kind IN ('EARN', 'SPEND', 'SPEND_UNDONE', 'FORFEIT')", name="kind_known"),
        CheckConstraint("delta <> 0", name="delta_moves"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    delta: Mapped[int]
    balance_after: Mapped[int]
    reference: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Lot(Base):
    """Points that were earned together. Its id is the sequence of the entry that earned it."""

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining BETWEEN 0 AND earned", name="remaining_range"),
        Index("ix_lots_open", "member_id", "id", postgresql_where="remaining > 0"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    earned: Mapped[int]
    remaining: Mapped[int]
    earned_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]


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
