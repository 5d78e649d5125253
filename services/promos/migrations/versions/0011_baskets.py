"""Sales whose baskets were redeemed, and those that were members' first purchases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "redeemed_baskets",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("till_number", sa.Text(), nullable=False),
        sa.Column("sale_reference", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("redemption_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.Column(
            "redeemed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "cardinality(redemption_ids) > 0", name=op.f("ck_redeemed_baskets_has_redemptions")
        ),
        sa.PrimaryKeyConstraint(
            "caller_id", "till_number", "sale_reference", name=op.f("pk_redeemed_baskets")
        ),
    )
    op.create_table(
        "first_purchases",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("redemption_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.CheckConstraint(
            "cardinality(redemption_ids) > 0", name=op.f("ck_first_purchases_has_redemptions")
        ),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_first_purchases")),
    )
