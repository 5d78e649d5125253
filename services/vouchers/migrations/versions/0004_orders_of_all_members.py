"""Staff list the orders of all members, by when they were placed."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies the change."""
    op.create_index("ix_orders_placed_at", "orders", ["placed_at", "id"])
    op.create_index("ix_orders_voucher_id", "orders", ["voucher_id", "placed_at", "id"])
    op.create_index("ix_orders_state", "orders", ["state", "placed_at", "id"])
