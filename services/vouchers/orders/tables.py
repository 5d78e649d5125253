"""Tables of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Order(Base):
    """An order, which ends COMPLETED, FAILED or CANCELLED; one that was completed may end REFUNDED.

    `price_points` and `amount_minor` are what it costs in all, after discounts. `steps` and `step_times` are
    the states that it came to. What a gift's recipient is called is erased when the gift returns. By
    `request_hash` a repetition is known from another request with the same key; it is NULL when nothing but
    the voucher and the quantity was asked for. `codes_awaited_at` is since when it has waited for codes that
    were still to be made, NULL when they were there at once.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("member_id", "idempotency_key"),
        CheckConstraint(
            "state IN ('PENDING', 'COMPLETED', 'UNDOING', 'FAILED', 'AWAITING_PAYMENT', 'CANCELLED',"
            " 'REFUNDING', 'REFUNDED')",
            name="state_known",
        ),
        CheckConstraint("quantity BETWEEN 1 AND 20", name="quantity_known"),
        CheckConstraint("price_points >= 0 AND amount_minor >= 0", name="price_positive"),
        CheckConstraint("cardinality(steps) = cardinality(step_times)", name="steps_with_times"),
        Index("ix_orders_member_id", "member_id", "id"),
        Index("ix_orders_placed_at", "placed_at", "id"),
        Index("ix_orders_voucher_id", "voucher_id", "placed_at", "id"),
        Index("ix_orders_state", "state", "placed_at", "id"),
        Index(
            "ix_orders_overdue",
            "deadline_at",
            postgresql_where=text("state IN ('PENDING', 'UNDOING', 'AWAITING_PAYMENT', 'REFUNDING')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    idempotency_key: Mapped[str]
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"))
    price_points: Mapped[int]
    state: Mapped[str]
    failure_reason: Mapped[str | None]
    failure_metadata: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deadline_at: Mapped[datetime]
    quantity: Mapped[int] = mapped_column(server_default="1")
    currency_code: Mapped[str | None]
    amount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    method_discount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    promo_discount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    payment_method_id: Mapped[UUID | None]
    promo_code_id: Mapped[UUID | None]
    pay_until: Mapped[datetime | None]
    recipient_hash: Mapped[bytes | None]
    recipient_name: Mapped[str | None]
    gift_message: Mapped[str | None]
    steps: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default="{}")
    step_times: Mapped[list[datetime]] = mapped_column(ARRAY(TIMESTAMP(timezone=True)), server_default="{}")
    end_note: Mapped[str | None]
    ended_by: Mapped[str | None]
    cancellable_until: Mapped[datetime | None]
    request_hash: Mapped[bytes | None]
    codes_awaited_at: Mapped[datetime | None]


class MemberCount(Base):
    """How many pieces of a voucher that limits it a member has ordered, without those of undone orders."""

    __tablename__ = "voucher_members"
    __table_args__ = (CheckConstraint("ordered >= 0", name="ordered_positive"),)

    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    ordered: Mapped[int]
