"""A sale is one at a till of the caller; staff list redemptions; rewards have ids, campaigns a version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies the change."""
    _redemptions()
    op.add_column("campaigns", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    # Old rewards get ids of the time when they were won.
    op.add_column("winners", sa.Column("id", sa.Uuid(), nullable=True))
    op.execute("UPDATE winners SET id = uuidv7(won_at - clock_timestamp())")
    op.alter_column("winners", "id", nullable=False)
    op.create_unique_constraint(op.f("uq_winners_id"), "winners", ["id"])


def _redemptions() -> None:
    op.add_column("redemptions", sa.Column("till_number", sa.Text(), server_default="", nullable=False))
    op.add_column("redemptions", sa.Column("code_set_id", sa.Uuid(), nullable=True))
    op.execute("UPDATE redemptions r SET code_set_id = c.code_set_id FROM codes c WHERE c.id = r.code_id")
    op.alter_column("redemptions", "code_set_id", nullable=False)
    op.drop_constraint("uq_redemptions_sale", "redemptions")
    op.create_unique_constraint(
        "uq_redemptions_sale", "redemptions", ["sale_reference", "caller_id", "till_number", "code_id"]
    )
    op.create_index("ix_redemptions_code_set_id", "redemptions", ["code_set_id", "redeemed_at", "id"])
    op.create_index("ix_redemptions_caller_id", "redemptions", ["caller_id", "redeemed_at", "id"])
    op.create_index("ix_redemptions_redeemed_at", "redemptions", ["redeemed_at", "id"])
    op.create_index(
        "ix_redemptions_cancelled",
        "redemptions",
        ["redeemed_at", "id"],
        postgresql_where=sa.text("cancelled_at IS NOT NULL"),
    )
