"""Tables of the catalogue."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


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
