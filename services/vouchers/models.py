"""Tables of vouchers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.tables import TYPES, idempotency_table, members_table, new_metadata, outbox_table


class Base(DeclarativeBase):
    """All tables of vouchers."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Voucher(Base):
    """Something that the programme offers. `issued` counts what orders have taken, pending ones too."""

    __tablename__ = "vouchers"
    __table_args__ = (
        CheckConstraint("issued BETWEEN 0 AND quantity", name="issued_within_quantity"),
        CheckConstraint("price_points > 0", name="price_positive"),
        CheckConstraint("face_value_minor > 0", name="face_value_positive"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str]
    face_value_minor: Mapped[int] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    price_points: Mapped[int]
    quantity: Mapped[int]
    issued: Mapped[int] = mapped_column(server_default="0")
    sale_starts_at: Mapped[datetime]
    sale_ends_at: Mapped[datetime | None]
    codes_expire_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Order(Base):
    """An order, which ends COMPLETED or FAILED."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("member_id", "idempotency_key"),
        CheckConstraint("state IN ('PENDING', 'COMPLETED', 'UNDOING', 'FAILED')", name="state_known"),
        Index("ix_orders_member_id", "member_id", "id"),
        Index("ix_orders_overdue", "deadline_at", postgresql_where=text("state IN ('PENDING', 'UNDOING')")),
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


class WalletVoucher(Base):
    """A voucher that a member owns."""

    __tablename__ = "wallet_vouchers"
    __table_args__ = (Index("ix_wallet_vouchers_member_id", "member_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), index=True)
    member_id: Mapped[UUID]
    code_id: Mapped[UUID] = mapped_column(unique=True)
    acquired_at: Mapped[datetime] = mapped_column(server_default=func.now())


IdempotencyKey = idempotency_table(Base.metadata)
Outbox = outbox_table(Base.metadata)
Member = members_table(Base.metadata)
