"""Quotes: what orders cost, for a short time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "quotes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("as_gift", sa.Boolean(), nullable=False),
        sa.Column("price_points", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("method_discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("promo_discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("payment_method_id", sa.Uuid(), nullable=True),
        sa.Column("promo_code_id", sa.Uuid(), nullable=True),
        sa.Column("used_by_key", sa.Text(), nullable=True),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.CheckConstraint("quantity BETWEEN 1 AND 20", name=op.f("ck_quotes_quantity_known")),
        sa.CheckConstraint(
            "least(price_points, amount_minor, method_discount_minor, promo_discount_minor) >= 0",
            name=op.f("ck_quotes_prices_positive"),
        ),
        sa.CheckConstraint(
            "(promo_code_id IS NOT NULL) = (promo_discount_minor > 0)",
            name=op.f("ck_quotes_promo_code_applies"),
        ),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_quotes_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotes")),
    )
    op.create_index("ix_quotes_expires_at", "quotes", ["expires_at"])
