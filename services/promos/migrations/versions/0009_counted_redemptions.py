"""Redemptions say whether they count for their member."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Applies the change."""
    op.add_column(
        "redemptions", sa.Column("counted", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_redemptions_counted_for_a_member"), "redemptions", "NOT counted OR member_id IS NOT NULL"
    )
