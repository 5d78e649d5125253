"""Redemptions of brands' codes are found by time; no more codes are made for discounts that have ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("redemptions", sa.Column("brand_id", sa.Uuid(), nullable=True))
    op.execute(
        "UPDATE redemptions r SET brand_id = s.brand_id"
        " FROM code_sets s WHERE s.id = r.code_set_id AND s.brand_id IS NOT NULL"
    )
    op.create_index(
        "ix_redemptions_brand_id",
        "redemptions",
        ["brand_id", "redeemed_at", "id"],
        postgresql_where=sa.text("brand_id IS NOT NULL"),
    )
    op.add_column(
        "code_sets", sa.Column("closed", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute(
        "UPDATE code_sets s SET wanted = made - voided, closed = true, version = s.version + 1"
        " FROM discounts d WHERE d.id = s.id AND d.state = 'ENDED'"
    )
