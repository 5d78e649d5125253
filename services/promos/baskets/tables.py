"""Tables of baskets."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class RedeemedBasket(Base):
    """A sale whose basket was redeemed, and the reply, without its time, which every repetition gets."""

    __tablename__ = "redeemed_baskets"
    __table_args__ = (CheckConstraint("cardinality(redemption_ids) > 0", name="has_redemptions"),)

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    till_number: Mapped[str] = mapped_column(primary_key=True)
    sale_reference: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    redemption_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    reply: Mapped[bytes]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FirstPurchase(Base):
    """The redemptions, all of one sale, of codes that are for the member's first purchase alone.

    When all of them were cancelled, another sale takes their place.
    """

    __tablename__ = "first_purchases"
    __table_args__ = (CheckConstraint("cardinality(redemption_ids) > 0", name="has_redemptions"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    redemption_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))


class RedeemedOrder(Base):
    """That a promo code was redeemed for an order of vouchers, or must never be (GIVEN_BACK)."""

    __tablename__ = "redeemed_orders"
    __table_args__ = (
        CheckConstraint("state IN ('REDEEMED', 'GIVEN_BACK')", name="state_known"),
        CheckConstraint("state = 'GIVEN_BACK' OR redemption_id IS NOT NULL", name="redeemed_is_whole"),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[str]
    redemption_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    given_back_at: Mapped[datetime | None]
