"""Tables of staff."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Staff(Base):
    """Somebody who works for the retailer or a brand."""

    __tablename__ = "staff"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'manager', 'cashier', 'brand_manager')", name="role_known"),
        CheckConstraint("brand_id IS NULL OR role = 'brand_manager'", name="brand_of_brand_manager"),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    full_name: Mapped[str]
    role: Mapped[str]
    brand_id: Mapped[UUID | None]
