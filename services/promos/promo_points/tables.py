"""Tables of promo points."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class Promo(Base):
    """A gift of promo points to a member. `used` is the sum of the uses that were not cancelled.

    `version` counts what staff change; uses leave it as it is.
    """

    __tablename__ = "promos"
    __table_args__ = (
        CheckConstraint(
            "type IN ('WELCOME', 'BIRTHDAY', 'LOYALTY', 'COMPENSATION', 'OTHER')", name="type_known"
        ),
        CheckConstraint("ends_at > starts_at", name="window"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("used BETWEEN 0 AND amount", name="used_within_amount"),
        Index("ix_promos_member_id", "member_id", "created_at", "id"),
        Index("ix_promos_created_at", "created_at", "id"),
        Index("ix_promos_type", "type", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    type: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    active: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class PromoUse(Base):
    """A use of promo points, by the member or for a sale at a till, which is its key.

    `signed_code_id` is the signed member code that was shown: it serves one sale. `request_hash` is a
    fingerprint of what the till asked for.
    """

    __tablename__ = "promo_uses"
    __table_args__ = (
        # Those of members have no sale.
        UniqueConstraint("sale_reference", "caller_id", "till_number", name="uq_promo_uses_sale"),
        UniqueConstraint("signed_code_id", name="uq_promo_uses_signed_code_id"),
        Index("ix_promo_uses_member_id", "member_id", "used_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    caller_id: Mapped[UUID]
    caller_role: Mapped[str]
    till_number: Mapped[str] = mapped_column(server_default="")
    sale_reference: Mapped[str | None]
    request_hash: Mapped[bytes | None]
    signed_code_id: Mapped[str | None]
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[UUID | None]
    cancelled_by_role: Mapped[str | None]


class PromoUsePart(Base):
    """What a use took from one promo, and what it left of it."""

    __tablename__ = "promo_use_parts"
    __table_args__ = (
        CheckConstraint("amount > 0 AND remaining >= 0", name="amounts_make_sense"),
        # Ids of uses grow with time, so this is the order of a promo's history.
        Index("ix_promo_use_parts_promo_id", "promo_id", "promo_use_id"),
    )

    promo_use_id: Mapped[UUID] = mapped_column(ForeignKey("promo_uses.id"), primary_key=True)
    promo_id: Mapped[UUID] = mapped_column(ForeignKey("promos.id"), primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
