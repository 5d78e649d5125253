"""Tables of recorded receipts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, CheckConstraint, Index, SmallInteger, Uuid, false
from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


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

    Not by member: a second use of a code, by anybody, violates this key.
    """

    __tablename__ = "used_codes"

    code_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    till_number: Mapped[str]
    receipt_number: Mapped[str]
    purchase_id: Mapped[UUID]


class UnclaimedPurchase(Base):
    """A purchase without a member. Until it is claimed its rows stand under its own id as member.

    Its row in `purchases` has what it will earn, which is less after a refund.
    """

    __tablename__ = "unclaimed_purchases"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    claim_code: Mapped[str] = mapped_column(unique=True)
    claim_until: Mapped[datetime]
    points: Mapped[int]  # what the receipt earned at first
    claimed_by: Mapped[UUID | None]
    claimed_with: Mapped[bytes | None]  # fingerprint of the member code that the till sent
    member_suspended: Mapped[bool] = mapped_column(Boolean, server_default=false())  # whose code it came with


class Purchase(Base):
    """A recorded receipt and what it earned."""

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint("total_minor >= eligible_minor AND eligible_minor >= 0", name="amounts"),
        CheckConstraint("points >= bonus AND bonus >= 0", name="points_floor"),
        Index("ix_purchases_id", "id"),
        Index("ix_purchases_member_sold", "member_id", "sold_at", "id"),
        Index("ix_purchases_sold", "sold_at", "id"),
        Index("ix_purchases_unclaimed", "id", postgresql_where="member_id = id"),
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
    earn_rule: Mapped[str | None]  # in words, of purchases from before `line_rules`
    balance_after: Mapped[int]
    client_id: Mapped[UUID]
    rule_set_id: Mapped[int] = mapped_column(BigInteger)
    bonus: Mapped[int] = mapped_column(server_default="0")  # among the points
    lot_id: Mapped[int | None] = mapped_column(BigInteger)  # the entry that earned them
    # Places in the rule set, from 1, of the rules that held for lines; NULL when none did, which is usual.
    line_rules: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    redemption_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))  # as the till told; NULL for none


class PurchaseItem(Base):
    """A line of a receipt: so many whole pieces, or, with quantity 0, so many thousandths.

    What came back is counted in the same unit. The total is NULL when it is price times whole pieces.
    """

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
    quantity_milli: Mapped[int | None]
    total_minor: Mapped[int | None] = mapped_column(BigInteger)
