"""The promo codes that orders of vouchers are paid with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "redeemed_orders",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("redemption_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("given_back_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('REDEEMED', 'GIVEN_BACK')", name=op.f("ck_redeemed_orders_state_known")
        ),
        sa.CheckConstraint(
            "state = 'GIVEN_BACK' OR redemption_id IS NOT NULL",
            name=op.f("ck_redeemed_orders_redeemed_is_whole"),
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_redeemed_orders")),
    )
