"""Tables of discounts and claims."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class Discount(Base):
    """A brand's discount. What its codes take off, and until when, is in its code set.

    It can be claimed from `starts_at` until `ends_at`. `claimed` counts its claims, and `version` what staff
    change.
    """

    __tablename__ = "discounts"
    __table_args__ = (
        CheckConstraint("state IN ('DRAFT', 'ACTIVE', 'PAUSED', 'ENDED')", name="state_known"),
        CheckConstraint("claimed BETWEEN 0 AND quantity", name="claimed_within_quantity"),
        CheckConstraint("ends_at > starts_at", name="window"),
        Index("ix_discounts_brand_id", "brand_id", "created_at", "id"),
        Index("ix_discounts_active", "created_at", "id", postgresql_where=text("state = 'ACTIVE'")),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("code_sets.id"), primary_key=True)
    brand_id: Mapped[UUID]
    name: Mapped[str]
    description: Mapped[str]
    quantity: Mapped[int]
    claimed: Mapped[int] = mapped_column(server_default="0")
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(server_default="DRAFT")
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Claim(Base):
    """A code of a discount that a member has claimed, once for each discount and each key.

    The brand is the discount's, repeated so that the claims of a brand are found by time.
    """

    __tablename__ = "claims"
    __table_args__ = (
        UniqueConstraint("member_id", "discount_id"),
        UniqueConstraint("member_id", "idempotency_key"),
        Index("ix_claims_brand_id", "brand_id", "claimed_at", "id"),
        Index("ix_claims_discount_id", "discount_id", "claimed_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    discount_id: Mapped[UUID] = mapped_column(ForeignKey("discounts.id"))
    brand_id: Mapped[UUID]
    member_id: Mapped[UUID]
    code_id: Mapped[UUID] = mapped_column(ForeignKey("codes.id"), unique=True)
    idempotency_key: Mapped[str]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemberConsent(Base):
    """Whether a member agrees to share contact data, by the event of this version; without a row: no."""

    __tablename__ = "member_consents"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    shares_contact: Mapped[bool]
