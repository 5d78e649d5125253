"""Tables of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Voucher(Base):
    """Something that the programme offers.

    `issued` counts what orders have taken, pending ones too; `benefit` is a message of promos, NULL when a
    code takes its face value off; limits of 0 are none;
    `images` are in their order (see `images.py`). `version` counts the changes by staff. `words` are
    those of title and description, for searches. `codes_wanted` is how many codes promos was asked for, sold
    ones included, and `codes_made` how many of them there were when it was last asked (see `code_stock.py`).

    No index has `issued`, which each order changes: so an order writes no index.
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
        Index("ix_vouchers_created_at", "created_at", "id"),
        Index("ix_vouchers_title", "title", "id"),
        Index("ix_vouchers_price_points", "price_points", "id"),
        Index("ix_vouchers_price", text("coalesce(price_minor, 0)"), "id"),
        Index("ix_vouchers_face_value", text("coalesce(face_value_minor, 0)"), "id"),
        Index("ix_vouchers_sale_starts_at", "sale_starts_at", "id"),
        Index(
            "ix_vouchers_sale_ends_at",
            text("coalesce(sale_ends_at, 'infinity')"),
            "id",
            postgresql_where=text("state = 'ACTIVE'"),
        ),
        Index("ix_vouchers_state", "state", "created_at", "id"),
        Index("ix_vouchers_buy_type", "buy_type", "created_at", "id"),
        Index(
            "ix_vouchers_for_points",
            "created_at",
            "id",
            postgresql_where=text("price_points > 0 AND price_rule = 'EITHER'"),
        ),
        Index(
            "ix_vouchers_for_money",
            "created_at",
            "id",
            postgresql_where=text("price_minor IS NOT NULL AND price_rule = 'EITHER'"),
        ),
        Index("ix_vouchers_for_both", "created_at", "id", postgresql_where=text("price_rule = 'TOGETHER'")),
        CheckConstraint("jsonb_array_length(images) <= 10", name="images_at_most_ten"),
        Index(
            "ix_vouchers_images",
            "images",
            postgresql_using="gin",
            postgresql_ops={"images": "jsonb_path_ops"},
            postgresql_with={"fastupdate": "off"},
        ),
        CheckConstraint("codes_made BETWEEN 0 AND codes_wanted", name="codes_made_within_wanted"),
        Index("ix_vouchers_lacking_codes", "id", postgresql_where=text("codes_made < codes_wanted")),
        Index("ix_vouchers_words", "words", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
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
    images: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    words: Mapped[str] = mapped_column(TSVECTOR, server_default="")
    codes_wanted: Mapped[int] = mapped_column(server_default="0")
    codes_made: Mapped[int] = mapped_column(server_default="0")
