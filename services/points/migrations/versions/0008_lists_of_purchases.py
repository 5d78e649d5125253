"""Lists of purchases by their time of sale, and of those that nobody has claimed."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Applies the change."""
    op.create_index("ix_purchases_member_sold", "purchases", ["member_id", "sold_at", "id"])
    op.create_index("ix_purchases_sold", "purchases", ["sold_at", "id"])
    op.create_index("ix_purchases_unclaimed", "purchases", ["id"], postgresql_where="member_id = id")
