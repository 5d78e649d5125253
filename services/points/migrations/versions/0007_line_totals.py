"""Fractions and totals of lines, redemptions and rules of purchases; receipts of suspended members.

The tables of purchases are large: every column is nullable or has a constant default, so that none is written
anew. Old lines are whole pieces at their price; old purchases keep their rules in words.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("purchase_items", sa.Column("quantity_milli", sa.Integer(), nullable=True))
    op.add_column("purchase_items", sa.Column("total_minor", sa.BigInteger(), nullable=True))
    op.add_column("purchases", sa.Column("line_rules", postgresql.ARRAY(sa.SmallInteger()), nullable=True))
    op.add_column("purchases", sa.Column("redemption_ids", postgresql.ARRAY(sa.Uuid()), nullable=True))
    op.alter_column("purchases", "earn_rule", existing_type=sa.Text(), nullable=True)
    op.add_column(
        "unclaimed_purchases",
        sa.Column("member_suspended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.alter_column("refunds", "balance_after", existing_type=sa.Integer(), nullable=True)
    # Of purchases that are claimed since, nobody knows which refunds came before; those keep their 0.
    op.execute("UPDATE refunds SET balance_after = NULL WHERE member_id = purchase_id")
