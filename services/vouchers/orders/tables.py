"""Tables of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Order(Base):
    """An order, which ends COMPLETED or FAILED."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("member_id", "idempotency_key"),
        CheckConstraint("state IN ('PENDING', 'COMPLETED', 'UNDOING', 'FAILED')", name="state_known"),
        Index("ix_orders_member_id", "member_id", "id"),
        Index("ix_orders_placed_at", "placed_at", "id"),
        Index("ix_orders_voucher_id", "voucher_id", "placed_at", "id"),
        Index("ix_orders_state", "state", "placed_at", "id"),
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
