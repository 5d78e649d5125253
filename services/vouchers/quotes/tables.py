"""Tables of quotes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Quote(Base):
    """What an order costs until `expires_at`; discounts are those in `amount_minor` already.

    `used_by_key` is the idempotency key of the order that it was used for: the key of the only order.
    """

    __tablename__ = "quotes"
    __table_args__ = (
        CheckConstraint("quantity BETWEEN 1 AND 20", name="quantity_known"),
        CheckConstraint(
            "least(price_points, amount_minor, method_discount_minor, promo_discount_minor) >= 0",
            name="prices_positive",
        ),
        CheckConstraint(
            "(promo_code_id IS NOT NULL) = (promo_discount_minor > 0)", name="promo_code_applies"
        ),
        Index("ix_quotes_expires_at", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"))
    quantity: Mapped[int]
    as_gift: Mapped[bool]
    price_points: Mapped[int]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    method_discount_minor: Mapped[int] = mapped_column(BigInteger)
    promo_discount_minor: Mapped[int] = mapped_column(BigInteger)
    payment_method_id: Mapped[UUID | None]
    promo_code_id: Mapped[UUID | None]
    used_by_key: Mapped[str | None]
    expires_at: Mapped[datetime]
