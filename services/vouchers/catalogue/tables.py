"""Tables of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Voucher(Base):
    """Something that the programme offers.

    `issued` counts what orders have taken, pending ones too; `benefit` is a message of promos, NULL when a
    code takes its face value off; limits of 0 are none. `version` counts the changes by staff.
    """

    __tablename__ = "vouchers"
    __table_args__ = (
        CheckConstraint("issued BETWEEN 0 AND quantity", name="issued_within_quantity"),
        CheckConstraint("price_points >= 0 AND price_minor > 0", name="price_positive"),
        CheckConstraint("price_points > 0 OR price_minor IS NOT NULL", name="some_price"),
        CheckConstraint("price_rule IN ('EITHER', 'TOGETHER')", name="price_rule_known"),
        CheckConstraint("face_value_minor > 0", name="face_value_positive"),
        CheckConstraint("(face_value_minor IS NULL) = (benefit IS NOT NULL)", name="one_benefit"),
        CheckConstraint("state IN ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED')", name="state_known"),
        CheckConstraint("buy_type IN ('SELF', 'GIFT')", name="buy_type_known"),
        CheckConstraint(
            "least(max_per_member, max_gifts_per_recipient, valid_days, cancel_days) >= 0", name="limits"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str]
    face_value_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    price_points: Mapped[int]
    quantity: Mapped[int]
    issued: Mapped[int] = mapped_column(server_default="0")
    sale_starts_at: Mapped[datetime]
    sale_ends_at: Mapped[datetime | None]
    codes_expire_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    state: Mapped[str] = mapped_column(server_default="ACTIVE")
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    price_rule: Mapped[str] = mapped_column(server_default="EITHER")
    benefit: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    max_per_member: Mapped[int] = mapped_column(server_default="0")
    buy_type: Mapped[str] = mapped_column(server_default="SELF")
    max_gifts_per_recipient: Mapped[int] = mapped_column(server_default="0")
    valid_days: Mapped[int] = mapped_column(server_default="0")
    cancel_days: Mapped[int] = mapped_column(server_default="0")
    version: Mapped[int] = mapped_column(server_default="1")
