"""Tables of codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class CodeSet(Base):
    """Codes that take off the same.

    Its id is given by its owner: a voucher's id, or a campaign's. `made` counts the codes that the
    background has made, until it is `wanted + voided`; a campaign's codes are made with the win and are
    counted nowhere.
    """

    __tablename__ = "code_sets"
    __table_args__ = (
        CheckConstraint(
            "(percent_off IS NULL) <> (amount_off_minor IS NULL)"
            " AND (amount_off_minor IS NULL) = (currency_code IS NULL)",
            name="one_benefit",
        ),
        CheckConstraint("percent_off BETWEEN 1 AND 100", name="percent_off_in_range"),
        CheckConstraint("amount_off_minor > 0", name="amount_off_positive"),
        CheckConstraint("wanted >= 0 AND voided >= 0 AND made >= 0", name="counts_not_negative"),
        CheckConstraint("uses_allowed > 0", name="uses_allowed_positive"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    amount_off_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency_code: Mapped[str | None]
    percent_off: Mapped[int | None] = mapped_column(SmallInteger)
    expires_at: Mapped[datetime | None]
    uses_allowed: Mapped[int] = mapped_column(server_default="1")
    wanted: Mapped[int] = mapped_column(server_default="0")
    voided: Mapped[int] = mapped_column(server_default="0")
    made: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Code(Base):
    """A code. READY codes have no owner and are worth nothing to anybody.

    `shuffle` spreads takers: each starts at a point of its own, so that they do not meet.
    """

    __tablename__ = "codes"
    __table_args__ = (
        CheckConstraint("state IN ('READY', 'ASSIGNED', 'VOID')", name="state_known"),
        CheckConstraint("uses BETWEEN 0 AND uses_allowed", name="uses_within_allowed"),
        CheckConstraint("state = 'ASSIGNED' OR uses = 0", name="uses_only_when_assigned"),
        CheckConstraint("(state = 'READY') = (owner_member_id IS NULL)", name="owned_unless_ready"),
        Index("ix_codes_ready", "code_set_id", "shuffle", postgresql_where=text("state = 'READY'")),
        Index("ix_codes_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code_set_id: Mapped[UUID] = mapped_column(ForeignKey("code_sets.id"))
    code: Mapped[str] = mapped_column(unique=True)
    shuffle: Mapped[int]
    state: Mapped[str]
    owner_member_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    uses: Mapped[int] = mapped_column(server_default="0")
    uses_allowed: Mapped[int]
    expires_at: Mapped[datetime | None]
    assigned_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]


class Assignment(Base):
    """That an order has codes, or must never get any (RELEASED)."""

    __tablename__ = "assignments"
    __table_args__ = (
        CheckConstraint("state IN ('ASSIGNED', 'RELEASED')", name="state_known"),
        CheckConstraint(
            "state = 'RELEASED' OR (code_set_id IS NOT NULL AND owner_member_id IS NOT NULL"
            " AND quantity IS NOT NULL)",
            name="assigned_is_whole",
        ),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    code_set_id: Mapped[UUID | None]
    owner_member_id: Mapped[UUID | None]
    quantity: Mapped[int | None]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    released_at: Mapped[datetime | None]


class Redemption(Base):
    """One use of a code, for one sale at one till.

    `caller_id` is who redeemed it, `till_number` which of its tills. `code_set_id` is the code's, kept here
    too so that the redemptions of a set are found by time.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        # The reference stands first, because staff look for sales by it alone.
        UniqueConstraint("sale_reference", "caller_id", "till_number", "code_id", name="uq_redemptions_sale"),
        Index("ix_redemptions_code_id", "code_id", "redeemed_at"),
        Index("ix_redemptions_code_set_id", "code_set_id", "redeemed_at", "id"),
        Index("ix_redemptions_caller_id", "caller_id", "redeemed_at", "id"),
        Index("ix_redemptions_redeemed_at", "redeemed_at", "id"),
        Index(
            "ix_redemptions_cancelled", "redeemed_at", "id", postgresql_where=text("cancelled_at IS NOT NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code_id: Mapped[UUID] = mapped_column(ForeignKey("codes.id"))
    code_set_id: Mapped[UUID]
    caller_id: Mapped[UUID]
    till_number: Mapped[str] = mapped_column(server_default="")
    sale_reference: Mapped[str]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]
